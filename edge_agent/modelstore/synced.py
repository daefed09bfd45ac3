"""What [sync] of the config makes of the agent: an updater, and bundles other than the config's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent import __version__
from edge_agent.commands.verification import verify
from edge_agent.modelstore.gateway import Gateway, Slot
from edge_agent.modelstore.hawkbit import HawkbitAddress
from edge_agent.modelstore.in_force import in_force
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.supplier import Place
from edge_agent.modelstore.supply_child import ChildSupplier
from edge_agent.modelstore.updater import Updater, fault_point

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from edge_agent.config import Config
    from edge_agent.modelstore.models import ModelPorts
    from edge_agent.modelstore.slot_steps import Verified
    from edge_agent.modelstore.sync_options import (
        HawkbitOptions,
        RepositoryOptions,
        SyncOptions,
    )
    from edge_agent.processes.worker_options import WorkerOptions


class Synced:
    """Owns the updater of an agent whose config has [sync]."""

    def __init__(
        self,
        config: Config,
        options: SyncOptions,
        ports: ModelPorts,
        environment: Mapping[str, str],
    ) -> None:
        """`environment`: where a test says at which state the agent is to end."""
        self._options = options
        self._folder = ports.folder
        self._layout = StoreLayout(store_of(ports.state_folder))
        memory_mb = int(config.worker_memory_mb)

        def show(slot: str, payload: bytes) -> None:
            ports.publisher.state(ports.publisher.topics.model(slot), payload)

        def test(bundle: Path) -> Verified:
            return verify(bundle, memory_mb=memory_mb)

        place = place_of(config, options, ports.folder, self._layout.root)
        supplier, fleet_server = ChildSupplier(place), ChildSupplier(place)
        self._suppliers = (supplier, fleet_server)
        gateway = Gateway(
            device=config.device.name,
            layout=self._layout,
            supplier=supplier,
            fleet_server=fleet_server if place.hawkbit else None,
            poll_s=options.poll_s,
            window=options.window,
            pause=options.swap_mode == "pause",
            show=show,
            order=ports.order,
            moved=lambda: ports.moved(None),
            test=test,
            fault_point=fault_point(environment),
        )
        self.updater = Updater(slots_of(ports.workers(config, 0), ports.folder), gateway)

    def in_force(self, workers: Iterable[WorkerOptions]) -> list[WorkerOptions]:
        """Return the orders of workers with the bundles that their slots run."""
        found = []
        for worker in workers:
            pipelines = dict(worker.pipelines)
            for name, options in worker.pipelines.items():
                factory = self._folder / options.model
                if bundle := in_force(self._layout, options.slot or name, factory):
                    pipelines[name] = options.model_copy(update={"model": bundle})
            found.append(worker.with_pipelines(pipelines))
        return found

    def configure(self, config: Config, workers: Iterable[WorkerOptions]) -> None:
        """Go over to another config and its workers; what is fetched from now on suits it."""
        place = place_of(config, self._options, self._folder, self._layout.root)
        for supplier in self._suppliers:
            supplier.place = place
        self.updater.configure(slots_of(workers, self._folder))


def store_of(state_folder: Path) -> Path:
    """Return where the models lie."""
    return state_folder.absolute() / "models"


def place_of(config: Config, options: SyncOptions, folder: Path, store: Path) -> Place:
    """Return where this gateway asks, and as whom."""

    def absolute(path: str) -> str:
        return str((folder / path).absolute()) if path else ""

    return Place(
        store=str(store),
        url=options.url if "://" in options.url else absolute(options.url),
        root=absolute(options.root),
        fleet=options.fleet,
        device=config.device.name,
        site=config.device.site,
        line=config.device.line,
        hw=_hardware(config, options),
        tags=options.tags,
        agent_version=__version__,
        quota_bytes=int(options.quota_mb * 1e6),
        proxy=options.proxy,
        ca_file=absolute(options.ca_file),
        cert_file=absolute(options.cert_file),
        key_file=absolute(options.key_file),
        hawkbit=_hawkbit(options.source, config.device.name, folder),
    )


def _hawkbit(
    options: RepositoryOptions | HawkbitOptions, device: str, folder: Path
) -> HawkbitAddress | None:
    if options.kind == "repository":
        return None
    return HawkbitAddress(
        url=options.url,
        tenant=options.tenant,
        controller=options.controller or device,
        token_file=str((folder / options.token_file).absolute()),
        shared=options.shared,
    )


def _hardware(config: Config, options: SyncOptions) -> tuple[str, ...]:
    """Return what the gateway has: what it says and defines, and what its pipelines ask for."""
    asked = (pipeline.accelerator for pipeline in config.pipelines.values())
    named = (each.hw for each in (*config.accelerators.values(), *asked))
    return tuple(dict.fromkeys((*options.hw, *named)))


def slots_of(workers: Iterable[WorkerOptions], folder: Path) -> list[Slot]:
    """Return the slots of the pipelines: those with the same slot change together."""
    found: dict[str, Slot] = {}
    for worker in workers:
        for name, options in worker.pipelines.items():
            slot = options.slot or name
            before = found.get(slot, Slot(slot, (), frozenset(), folder / options.model))
            found[slot] = Slot(
                slot, (*before.pipelines, name), before.workers | {worker.name}, before.factory
            )
    return list(found.values())
