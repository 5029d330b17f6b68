"""The simulated network of `hdms-interop`, as a peer sees it: commands in, answers out."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).parents[3]
KEYS = json.loads((ROOT / "tests/simulation/vectors/keys.json").read_text())


class Network:
    def __init__(self):
        command = os.environ.get("HDMS_INTEROP", ROOT / "target/debug/hdms-interop")
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([command], stdin=pipe, stdout=pipe, text=True)
        for name, value in self.ask("network").items():
            setattr(self, name, value)

    def answer(self, command):
        """The whole answer: `{ok}` or `{refused}`."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def ask(self, command):
        """The answer to a command that must not be refused."""
        answer = self.answer(command)
        assert "refused" not in answer, answer
        return answer["ok"]

    def mail(self, kind):
        """The only envelope sent since the last time, which must be of this type."""
        sent = self.ask("mail")
        assert [message["type"] for message in sent] == [kind]
        return sent[0]["envelope"]

    def receive(self, to_patient, envelope):
        return self.answer({"receive": {"toPatient": to_patient, "envelope": envelope}})

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
