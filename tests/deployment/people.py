"""A client of endpoints that know people."""

import http.client
import json

from nbmlops.deployment import records

CITIES = ["Basel", "Bern", "Chur"]


class Client:
    """Sends rows over a connection that it keeps, and counts who answered."""

    def __init__(self, store, endpoint):
        self.token = records.read_token(store.settings, endpoint.name)
        self.path = f"/endpoints/{endpoint.name}/invocations"
        self.connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, 30)
        self.versions, self.statuses = [], []

    def send(self, city="Bern", age=50, **headers):
        body = json.dumps({"dataframe_records": [{"city": city, "age": age}]})
        headers = {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            **headers,
        }
        self.connection.request("POST", self.path, body, headers)
        answer = self.connection.getresponse()
        content = json.loads(answer.read())
        self.statuses.append(answer.status)
        self.versions.append(answer.headers["x-model-version"])
        return content
