"""Where one can go in a cluster: another context, a namespace, a node, the node of a pod."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tui.screens.scope import HostScope

if TYPE_CHECKING:
    from tui.screens.session import Session


class Places:
    """What a session knows of a cluster beyond the screen: its names, and how to get to what they name."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.other_cluster: Callable[[str], Any] | None = None
        """Gives the source of another context."""
        self.context_names: tuple[str, ...] = ()
        self._namespaces: tuple[str, ...] = ()
        self._pods: dict[str, str] = {}
        """`namespace/pod` -> node."""

    # what completion offers

    @property
    def node_names(self) -> Sequence[str]:
        return list(self.session.cluster.store.rows) if self.session.cluster is not None else []

    @property
    def namespaces(self) -> Sequence[str]:
        return ("-", *self._namespaces)

    @property
    def pod_names(self) -> Sequence[str]:
        if isinstance(self.session.scope, HostScope):
            return sorted({f"{p.namespace}/{p.pod}" for p in self.session.store.processes if p.pod})
        return list(self._pods)

    def learn(self, command: str) -> None:
        """Asks the cluster for the names that a command takes, once it is being typed."""
        if self.session.cluster is None:
            return
        from tui.sources import cluster_asks

        source, ask = self.session.cluster.source, self.session.ask
        if command == "ctx" and not self.context_names:
            ask(source.contexts(), lambda names: setattr(self, "context_names", names))
        elif command == "ns" and not self._namespaces:
            ask(cluster_asks.namespaces(source), lambda names: setattr(self, "_namespaces", names))
        elif command == "pod" and not self._pods and self.session.scope is self.session.cluster:
            ask(cluster_asks.pods(source, self.session.namespace), lambda pods: setattr(self, "_pods", pods))

    # contexts and namespaces

    def choose_context(self, name: str) -> None:
        """Goes to another cluster; without a name, lists them."""
        if self.session.cluster is None:
            return
        if name:
            self.session.ask(self.session.cluster.source.contexts(), lambda names: self._switch(name, names))
        else:
            self.session.ask(self.session.cluster.source.contexts(), self._list_contexts)

    def _list_contexts(self, names: tuple[str, ...]) -> None:
        from tui.screens.choices import Choices

        current = self.session.cluster.name if self.session.cluster is not None else ""
        self.context_names = names
        self.session.push(Choices(self.session, "Contexts", names, current, self.choose_context))

    def _switch(self, name: str, names: tuple[str, ...]) -> None:
        self.context_names = names
        found = [name] if name in names else [n for n in names if n.startswith(name)]
        if len(found) != 1 or self.other_cluster is None:
            self.session.notice(
                f"no context {name}; there are {', '.join(names[:8])}" if not found else f"{name}: which one?"
            )
            return
        source = self.other_cluster(found[0])
        self._namespaces, self._pods = (), {}
        self.session.change_cluster(source)

    def choose_namespace(self, name: str) -> None:
        """Narrows what belongs to pods; `-` widens it again, "" lists them."""
        if name:
            self.session.namespace = None if name == "-" else name
            self._pods = {}
            self.session.screen.updated()
            self.session.notice(f"namespace {name}" if self.session.namespace else "all namespaces")
        elif self.session.cluster is not None:
            from tui.sources import cluster_asks

            self.session.ask(cluster_asks.namespaces(self.session.cluster.source), self._list_namespaces)

    def _list_namespaces(self, names: tuple[str, ...]) -> None:
        from tui.screens.choices import Choices

        def chosen(name: str) -> None:
            self.session.do_back()
            self.choose_namespace(name)

        self._namespaces = names
        self.session.push(Choices(self.session, "Namespaces", ("-", *names), self.session.namespace or "-", chosen))

    # nodes and pods

    def open_named_node(self, name: str) -> None:
        names = self.node_names
        found = [name] if name in names else [n for n in names if name and n.startswith(name)]
        if len(found) == 1:
            self.session.leave_node()
            self.session.open_node(found[0])
        else:
            self.session.notice(f"no node {name}" if not found else f"{name}: which one? {', '.join(found[:6])}")

    def open_pod(self, name: str) -> None:
        """The processes of a pod, on its node; on the cluster's screens the API server is asked which node that is."""
        if not name:
            self.session.notice(":pod NAME, or :pod NAMESPACE/NAME")
        elif isinstance(self.session.scope, HostScope):
            self._show_pod(name)
        elif self.session.cluster is not None:
            from tui.sources import cluster_asks

            self.session.ask(
                cluster_asks.node_of_pod(self.session.cluster.source, name, self.session.namespace), self._open_pod
            )

    def _open_pod(self, found: tuple[str, str]) -> None:
        pod, node = found
        if self.session.open_node(node) is not None:
            self._show_pod(pod)

    def _show_pod(self, name: str) -> None:
        from tui.screens.base import ListScreen

        self.session.go("processes")
        if isinstance(self.session.screen, ListScreen):
            self.session.screen.listing.set_filter(name)
