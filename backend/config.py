"""Settings from the environment (prefix SWARMEX_); read by `backend.bootstrap` only."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.domain.health import PROGRESS_MAX_S


class Settings(BaseSettings):
    """What a deployment may choose; without URLs, servers from Python wheels are started in the data folder."""

    model_config = SettingsConfigDict(env_prefix="SWARMEX_", frozen=True)

    data_folder: Path = Path(".swarmex")
    database_url: str | None = Field(default=None, repr=False)
    node_database_url: str | None = Field(default=None, repr=False)
    redis_url: str | None = Field(default=None, repr=False)
    objects_url: str | None = None
    model_cache: Path | None = None
    sealing_folder: Path | None = None
    bus_namespace: str = "swarmex"
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8080, ge=0, le=65_535)
    grpc_host: str = "127.0.0.1"
    grpc_port: int = Field(default=8001, ge=0, le=65_535)  # where clients of the protocol look for it
    grpc_cert: Path | None = None
    grpc_key: Path | None = None
    grpc_client_ca: Path | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    agent_name: str | None = None
    runtime: Literal["process", "docker", "swarm"] = "process"
    image: str | None = None
    placement: str | None = None
    bind_host: str = "127.0.0.1"
    advertise_host: str | None = None
    beat_file: Path | None = None
    stuck_after_s: float = Field(default=PROGRESS_MAX_S, ge=1, le=3_600)
    model_memory_mb: int | None = Field(default=None, ge=1)
    trainers: str = ""
    training_data: str | None = None
    trainer_memory_mb: int = Field(default=4_096, ge=64)
    remote_backends: dict[str, str] = Field(default_factory=dict, repr=False)
    metrics_port: int | None = Field(default=None, ge=1, le=65_535)
    alert_webhook: str | None = Field(default=None, repr=False)
    alert_webhook_secret: str | None = Field(default=None, repr=False)
    link_secret: str | None = Field(default=None, min_length=16, repr=False)
    webhook_hosts: str = ""

    @property
    def folder(self) -> Path:
        """The data folder, absolute: processes with other working directories must agree on it."""
        return self.data_folder.expanduser().absolute()

    @property
    def objects(self) -> str:
        """Where model files are: an fsspec URL."""
        return self.objects_url or (self.folder / "objects").as_uri()

    @property
    def model_bytes(self) -> int | None:
        """What loaded models may take of an inference agent's memory; None: half of what its machine has."""
        return None if self.model_memory_mb is None else self.model_memory_mb << 20

    @property
    def trainer_bytes(self) -> int:
        """What the process in which an agent trains may take of the machine's memory."""
        return self.trainer_memory_mb << 20

    @property
    def cache(self) -> Path:
        """Where nodes keep the models that they fetched."""
        return self.model_cache or self.folder / "cache"

    @property
    def sealing(self) -> Path:
        """Where nodes keep the keys that private orders are sealed to; what is lost there is sealed for ever."""
        return self.sealing_folder or self.cache / "sealing"
