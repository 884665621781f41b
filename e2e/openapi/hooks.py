"""Puts ids of things that are there in the place of valid ones that lead nowhere, so that more than the doors is tried."""

import os
import uuid
import zlib

import requests
import schemathesis

WORKSPACE = os.environ["PARLANT_WORKSPACE"]
URL = os.environ["PARLANT_URL"]


def call(method, path, body=None):
    credential = {"Authorization": f"Bearer {os.environ['PARLANT_TOKEN']}"}
    response = requests.request(method, URL + path, json=body, headers=credential, timeout=10)
    response.raise_for_status()
    return response.json()


def talk():
    name = f"Agent {uuid.uuid4()}"
    agent = call("POST", "/api/v1/agents", {"workspace_id": WORKSPACE, "name": name})["id"]
    session = call("POST", "/api/v1/agents/sessions", {"workspace_id": WORKSPACE, "agent_id": agent})["session_id"]
    for number in range(2):
        call("POST", f"/api/v1/agents/sessions/{session}/messages", {"content": f"Message {number}"})
    return agent, session


AGENT, SESSION = talk()
# Those that get deleted and ended. What reads is sent to the others, but for streams: those of what has ended end.
VICTIMS = [talk() for _ in range(40)]
ENDED = talk()[1]
call("DELETE", f"/api/v1/agents/sessions/{ENDED}")


def is_uuid(value):
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def replace(values, name, is_valid, real):
    """Most valid values by a valid one: what was broken on purpose stays broken."""
    if values and name in values and is_valid(values[name]) and number(values[name]) % 10 < 8:
        values[name] = real


def number(value):
    """Chance that hypothesis can repeat."""
    return zlib.crc32(str(value).encode())


@schemathesis.hook
def map_path_parameters(ctx, values):
    operation = ctx.operation
    if "/auth/workspaces/" in operation.path or "/agents/workspaces/" in operation.path:
        replace(values, "id", lambda value: isinstance(value, str) and value != "", WORKSPACE)
    elif operation.method.lower() == "delete":
        agent, session = VICTIMS[number((values or {}).get("id")) % len(VICTIMS)]
        replace(values, "id", is_uuid, session if "/sessions/" in operation.path else agent)
    elif operation.path.endswith("/events"):
        replace(values, "id", is_uuid, ENDED)
    else:
        replace(values, "id", is_uuid, SESSION if "/sessions/" in operation.path else AGENT)
    return values


def map_ids(_, values):
    if isinstance(values, dict):
        replace(values, "workspace_id", lambda value: isinstance(value, str), WORKSPACE)
        replace(values, "agent_id", is_uuid, AGENT)
        replace(values, "session_id", is_uuid, SESSION)
    return values


schemathesis.hook("map_query")(map_ids)
schemathesis.hook("map_body")(map_ids)
