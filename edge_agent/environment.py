"""What must not stand in a file: secrets, read from the environment."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Secrets(BaseSettings):
    """EDGE_AGENT_BROKER_USERNAME and EDGE_AGENT_BROKER_PASSWORD."""

    model_config = SettingsConfigDict(env_prefix="EDGE_AGENT_", extra="ignore")

    broker_username: str | None = None
    broker_password: SecretStr | None = None
