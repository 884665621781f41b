"""Puts ids of things that are there in the place of valid ones that lead nowhere, so that more than the doors is tried."""

import os
import random
import uuid

import requests
import schemathesis

WORKSPACE = os.environ["PARLANT_WORKSPACE"]
URL = os.environ["PARLANT_URL"]


def post(path, body):
    response = requests.post(
        URL + path, json=body, headers={"Authorization": f"Bearer {os.environ['PARLANT_TOKEN']}"}, timeout=10
    )
    response.raise_for_status()
    return response.json()


def talk():
    name = f"Agent {uuid.uuid4()}"
    agent = post("/api/v1/agents", {"workspace_id": WORKSPACE, "name": name})["id"]
    session = post("/api/v1/agents/sessions", {"workspace_id": WORKSPACE, "agent_id": agent})["session_id"]
    for number in range(3):
        post(f"/api/v1/agents/sessions/{session}/messages", {"content": f"Message {number}"})
    return agent, session


AGENT, SESSION = talk()
# Those that get deleted and ended. What reads is sent to the others.
VICTIMS = [talk() for _ in range(40)]
random.seed(4)


def is_uuid(value):
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def replace(values, name, is_valid, real):
    """A valid value by a valid one: what was broken on purpose stays broken."""
    if values and name in values and is_valid(values[name]) and random.random() < 0.7:
        values[name] = real


@schemathesis.hook
def map_path_parameters(ctx, values):
    operation = ctx.operation
    if "/auth/workspaces/" in operation.path or "/agents/workspaces/" in operation.path:
        replace(values, "id", lambda value: isinstance(value, str) and value != "", WORKSPACE)
    elif operation.method.lower() == "delete":
        agent, session = random.choice(VICTIMS)
        replace(values, "id", is_uuid, session if "/sessions/" in operation.path else agent)
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
