"""The command that opens the app."""

from typing import Annotated

import typer


def app_command(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0: the first free one from 8501.")
    ] = 0,
    headless: Annotated[bool, typer.Option(help="Do not open a browser.")] = False,
    address: Annotated[str, typer.Option(help="Address to listen at, such as 0.0.0.0. Left out: this machine.")] = "",
    base_path: Annotated[str, typer.Option(help="Path of the app behind a proxy, such as tools/neurons.")] = "",
    host: Annotated[str, typer.Option(help="Name by which browsers know the server, behind a proxy.")] = "",
    public: Annotated[
        bool, typer.Option("--public", help="For anybody: nothing of the server can be changed, requests are limited.")
    ] = False,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine for metrics (Prometheus); 0: none.")
    ] = 0,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Log events as JSON; --public does.")] = False,
) -> None:
    """Open the explorer in the browser, or serve it (docs/server.md)."""
    from explorer.serve.app_command import AppSettings, run_app

    raise typer.Exit(run_app(AppSettings(port, headless, address, base_path, host, public, metrics_port, json_logs)))
