"""Our native network on loopback, and a hospital of strangers that has joined it."""

import json
import os
import pathlib
import subprocess
import time

import pytest

from hospital import Hospital
from wire import Refused, new_id

ROOT = pathlib.Path(__file__).parents[3]
WISH = {"reason": "Persistent cough", "date": "2026-01-05", "may_read": ["AllergyIntolerance"]}


class Network:
    """Commands in, answers out: see src/main.rs."""

    def __init__(self, data):
        program = os.environ.get("HDMS_HOSPITAL", ROOT / "target/debug/hdms-interop-hospital")
        pipe = subprocess.PIPE
        environment = os.environ | {"HDMS_LOG": "off"}
        self.process = subprocess.Popen(
            [program, data], stdin=pipe, stdout=pipe, text=True, env=environment)
        self.server = self.answer()["server"]

    def answer(self):
        answer = json.loads(self.process.stdout.readline())
        assert "ok" in answer, answer
        return answer["ok"]

    def ask(self, command, **members):
        self.process.stdin.write(json.dumps({command: members} if members else command) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


def eventually(holds):
    """What `holds` answers once it is true: messages travel by themselves."""
    deadline = time.monotonic() + 60
    while not (answer := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


def admitted(hospital):
    try:
        hospital.apply()
    except Refused as refused:
        assert refused.code == "doorman/pending"
    return hospital.card


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    network = Network(tmp_path_factory.mktemp("network"))
    yield network
    network.stop()


@pytest.fixture(scope="session")
def hospital(network):
    hospital = Hospital(network.server, "Hospital of strangers")
    assert not admitted(hospital)
    network.ask("admit", node=hospital.id)
    eventually(lambda: admitted(hospital))

    def listed():
        hospital.refresh()
        return hospital.id in hospital.trust.nodes
    eventually(listed)
    network.ask("refresh")
    yield hospital
    hospital.stop()


@pytest.fixture
def case(network, hospital):
    """A case that waits for the hospital's decision."""
    case = new_id()
    network.ask("ask", case=case, hospital=hospital.id, request=WISH)
    eventually(lambda: case in hospital.cases)
    return case


@pytest.fixture
def approved(network, hospital, case):
    hospital.approve(case)
    eventually(lambda: phase(network, case) == "approved")
    return case


def phase(network, case):
    return network.ask("state", case=case)["phase"]
