"""Registers a model as a data scientist does, with MLflow's own client; run in its environment.

python publish.py SERVER NAME FOLDER: the folder's files are the model's; prints the version.
"""

from __future__ import annotations

import sys

import mlflow


def main(server: str, name: str, folder: str) -> None:
    """Log a run with metrics, tags and data, register its files, and make them the champion."""
    mlflow.set_tracking_uri(server)
    client = mlflow.MlflowClient()
    with mlflow.start_run() as run:
        mlflow.log_metrics({"auroc": 0.987, "escapes": 0.012})
        mlflow.log_metric("nothing", float("nan"))
        mlflow.set_tags({"who": "line | 3", "mlflow.source.git.commit": "0123abcd"})
        mlflow.set_tag("data_sha256", "ab" * 32)
        mlflow.log_artifacts(folder, "bundle")
    try:
        client.create_registered_model(name)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{run.info.artifact_uri}/bundle"
    version = client.create_model_version(name, source, run.info.run_id)
    client.set_registered_model_alias(name, "champion", version.version)
    sys.stdout.write(f"{version.version} {run.info.run_id}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
