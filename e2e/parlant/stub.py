#!/usr/bin/env python3
"""A real Parlant server with a stub in the place of the language model: needs no network and no key.

Install:  python3 -m venv venv && venv/bin/pip install parlant==3.3.2 'fastapi<0.137'      (~45 s, 1.1 GB)
          (fastapi >= 0.137 breaks trace ids: customer events get trace_id "<main>")
Run:      venv/bin/python stub.py                   # http://127.0.0.1:8800, Ctrl-C / SIGTERM stops it

Environment (all optional):
  PARLANT_HOST=127.0.0.1  PARLANT_PORT=8800  PARLANT_TOOL_PORT=8818 (the SDK's own tool server)
  PARLANT_HOME=./parlant-data   log file and caches; also the JSON stores when STUB_PERSIST=1
  STUB_PERSIST=1   every store is a JSON file under PARLANT_HOME (what `parlant-server run` does);
                   without it everything is in memory and is gone when the process ends
  STUB_FAST=1      no randomised "human" delays and no preamble (a reply takes ~0.3 s, not ~4 s)
  STUB_DELAY=2.5   seconds the stub "model" takes per generation
  STUB_POLICY=production   Parlant's ProductionAuthorizationPolicy instead of the open development one

What the stub answers:  "Stub reply to: <last customer message>"; every guideline shown to it matches;
a tool of a matched guideline is called once, with no arguments, unless it is marked consequential.
A customer message that contains "STUB_FAIL" makes the model call raise (-> status event "error").
"""
import asyncio
import os
import re
import types
import typing

os.environ.setdefault("PARLANT_HOME", os.path.abspath("parlant-data"))  # read at import time
if os.environ.get("STUB_POLICY") == "production":
    os.environ["PARLANT_ENV"] = "production"

import parlant.sdk as p  # noqa: E402
from parlant.bin.server import StartupParameters, start_parlant  # noqa: E402
from parlant.core.engines.alpha.entity_context import EntityContext  # noqa: E402
from parlant.core.engines.alpha.perceived_performance_policy import (  # noqa: E402
    NullPerceivedPerformancePolicy, PerceivedPerformancePolicy)
from parlant.core.nlp.embedding import Embedder  # noqa: E402
from parlant.core.nlp.generation import (  # noqa: E402
    SchematicGenerationResult, SchematicGenerator, StreamingTextGenerationResult,
    StreamingTextGenerator)
from parlant.core.nlp.generation_info import GenerationInfo, UsageInfo  # noqa: E402
from parlant.core.nlp.service import NLPService  # noqa: E402
from parlant.core.nlp.tokenization import EstimatingTokenizer  # noqa: E402

MODEL, DELAY = "stub/deterministic", float(os.environ.get("STUB_DELAY", "0"))


def info(schema: str) -> GenerationInfo:
    return GenerationInfo(schema, MODEL, DELAY, UsageInfo(input_tokens=1, output_tokens=1))


async def reply() -> str:
    """The canned answer for the session the engine is working on right now."""
    await asyncio.sleep(DELAY)
    events = (ctx.interaction.events if (ctx := EntityContext.get()) else [])
    said = next((e.data["message"] for e in reversed(events)
                 if e.kind.value == "message" and e.source.value == "customer"), "(nothing)")
    if "STUB_FAIL" in said:
        raise RuntimeError("the stub model was told to fail")
    return f"Stub reply to: {said}"


def fake(t: typing.Any, flag: bool) -> typing.Any:
    """A minimal valid value of annotation `t`; required fields only."""
    origin, args = typing.get_origin(t), typing.get_args(t)
    if origin in (typing.Union, types.UnionType):
        return None if type(None) in args else fake(args[0], flag)
    if origin is typing.Literal:
        return args[0]
    if hasattr(t, "model_fields"):
        return {n: fake(f.annotation, flag) for n, f in t.model_fields.items() if f.is_required()}
    return {str: "stub", int: 0, float: 0.0, bool: flag}.get(t, {} if origin is dict else [])


class Tokenizer(EstimatingTokenizer):  # must not say 0: Parlant divides by it when it queries vectors
    async def estimate_token_count(self, prompt: str) -> int:
        return len(prompt) // 4 + 1


class StubGenerator(SchematicGenerator[p.T]):
    id, max_tokens, tokenizer = MODEL, 1_000_000, Tokenizer()

    async def generate(self, prompt, hints={}):  # type: ignore[no-untyped-def]
        name, fields, text = self.schema.__name__, self.schema.model_fields, await reply()
        data = fake(self.schema, flag=name.endswith("GuidelineMatchesSchema"))
        if name == "MessageSchema":  # composition_mode=fluid
            data = {"produced_reply": True, "revisions": [
                {"revision_number": 1, "content": text, "followed_all_instructions": True}]}
        elif name == "CannedResponseDraftSchema":  # the canned composition modes
            data["response_body"] = text
        elif name == "CannedResponsePreambleSchema":
            data["preamble"] = "Got it."
        elif name == "CannedResponseRevisionSchema":
            data["revised_canned_response"] = text
        elif name == "NonConsequentialToolBatchSchema":  # run the tool once, without arguments
            staged = "the same call is already staged" in str(prompt.build())
            data = {"should_run": not staged, "calls": [] if staged else [{"args": {}}]}
        elif "checks" in fields or "applies" in fields:  # guideline matching: everything applies
            asked = str(prompt if isinstance(prompt, str) else prompt.build()).split("```json")[-1]
            if "applies" in fields:
                data["applies"] = {i: True for i in re.findall(r'"(\d+)":', asked)}
            else:
                item = typing.get_args(fields["checks"].annotation)[0]
                data["checks"] = [{**fake(item, flag=True), "guideline_id": i}
                                  for i in re.findall(r'"guideline_id":\s*"?(\w+)', asked)]
        return SchematicGenerationResult(self.schema.model_validate(data), info(name))


class StubStream(StreamingTextGenerator):  # message_output_mode=stream (needs canned_fluid)
    id, tokenizer = MODEL, Tokenizer()

    def generate(self, prompt, hints={}):  # type: ignore[no-untyped-def]
        async def words() -> typing.AsyncIterator[str | None]:
            for word in re.findall(r"\S+\s*", await reply()):
                await asyncio.sleep(0.15)
                yield word
            yield None
        return StreamingTextGenerationResult(words(), lambda: info("streaming"))


class StubEmbedder(Embedder):  # must be constructible without arguments
    id, max_tokens, tokenizer, dimensions = "stub/embedder", 8192, Tokenizer(), 16

    async def embed(self, texts, hints={}):  # type: ignore[no-untyped-def]
        return p.EmbeddingResult([[1.0 + (sum(t.encode()) >> i) % 2 for i in range(16)] for t in texts])


class StubService(NLPService):
    supports_streaming = True

    async def get_schematic_generator(self, t, hints={}):  # type: ignore[no-untyped-def]
        return StubGenerator[t]()

    async def get_streaming_text_generator(self, hints={}):  # type: ignore[no-untyped-def]
        return StubStream()

    async def get_embedder(self, hints={}):  # type: ignore[no-untyped-def]
        return StubEmbedder()

    async def get_moderation_service(self):  # type: ignore[no-untyped-def]
        return p.NoModeration()


async def configure(c: p.Container) -> p.Container:
    if os.environ.get("STUB_FAST"):
        c[PerceivedPerformancePolicy] = NullPerceivedPerformancePolicy()
    return c


async def main() -> None:
    host, port = os.environ.get("PARLANT_HOST", "127.0.0.1"), int(os.environ.get("PARLANT_PORT", "8800"))
    if os.environ.get("STUB_PERSIST"):
        async def service(_: p.Container) -> NLPService:
            return StubService()
        async with start_parlant(StartupParameters(host, port, service, "info", [], True, configure)):
            pass
    else:
        async with p.Server(host=host, port=port, nlp_service=lambda _: StubService(),
                            tool_service_port=int(os.environ.get("PARLANT_TOOL_PORT", "8818")),
                            configure_container=configure):
            pass


if __name__ == "__main__":
    asyncio.run(main())
