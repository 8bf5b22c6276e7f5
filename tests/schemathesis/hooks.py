"""Logs in before every case: some cases end their session, and one that was refused for that shows nothing."""

import os

import requests
import schemathesis


@schemathesis.auth(cache_by_key=None, refresh_interval=None)
class Login:
    def get(self, case, context):
        form = {
            "username": os.environ["KEYSTILE_TEST_USERNAME"],
            "password": os.environ["KEYSTILE_TEST_PASSWORD"],
        }
        answer = requests.post(os.environ["KEYSTILE_TEST_URL"] + "/token", data=form, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def set(self, case, pair, context):
        kind = "refresh_token" if case.operation.path == "/refresh" else "access_token"
        case.headers["Authorization"] = "Bearer " + pair[kind]
