"""Durations of requests, by the template of their route."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from api.middleware.direct_routes import ROUTE
from shared.metrics.metric_set import MetricSet
from shared.metrics.series import OTHER, Histogram

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", OTHER)
CLASSES = (OTHER, OTHER, "2xx", "3xx", "4xx", "5xx")
"""The class of a status by its first digit; OTHER is that of a request without an answer: its client left."""
BOUNDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

Route = tuple[str, str]  # method and template


class HttpMetrics:
    """The histogram of requests by method, route and class of status. `/v1` is left out of routes.

    Args:
        routers: the routers of the application; other paths, and requests that are refused before their
            route is known, count as the route OTHER.
    """

    def __init__(self, metrics: MetricSet, routers: Iterable[APIRouter]) -> None:
        routes = {*_routes_of(routers), *((method, OTHER) for method in METHODS)}
        labels = [(*route, status) for route in sorted(routes) for status in sorted({*CLASSES})]
        found = metrics.histogram(
            "http_request_duration_seconds",
            "Time from a request to the end of its answer, by the template of its route.",
            BOUNDS,
            ("method", "route", "status"),
            labels,
            sparse=True,
        )
        series = dict(zip(labels, found, strict=True))
        self._series: dict[Route, list[Histogram]] = {
            route: [series[*route, status] for status in CLASSES] for route in routes
        }

    def note(self, scope: Any, status: int, seconds: float) -> None:
        """Count a request that has ended; its status is 0 without an answer."""
        series = self._series.get((scope["method"], _template(scope.get(ROUTE))))
        if series is None:
            method = scope["method"] if scope["method"] in METHODS else OTHER
            series = self._series[method, OTHER]
        series[status // 100].observe(seconds)


def _template(route: Any) -> str:
    """The template of a route as `DirectRoutes` notes it, or the framework, which adds the prefix."""
    if isinstance(route, str):
        return route
    path: str = OTHER if route is None else route.path
    return path.removeprefix("/v1")


def _routes_of(routers: Iterable[APIRouter]) -> Iterable[Route]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in route.methods or ():
                    yield method, route.path
                    if method == "GET":
                        yield "HEAD", route.path
