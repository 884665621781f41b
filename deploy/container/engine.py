"""Parlant with nothing in it: the bridge makes agents and sessions, and makes them again after a restart.

NLP_SERVICE is the model's provider, as parlant.sdk.NLPServices calls it. What the provider wants to find in the
environment, such as OPENAI_API_KEY, may come from a file as well: OPENAI_API_KEY_FILE.
"""
import asyncio
import os
from pathlib import Path

for name in [name for name in os.environ if name.endswith("_KEY_FILE")]:
    os.environ[name.removesuffix("_FILE")] = Path(os.environ[name]).read_text().strip()

import parlant.sdk as p  # noqa: E402  reads the environment


async def main() -> None:
    async with p.Server(host="0.0.0.0", port=8800, nlp_service=getattr(p.NLPServices, os.environ["NLP_SERVICE"])):
        pass


asyncio.run(main())
