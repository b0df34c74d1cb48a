"""Options that say what a machine has and where it is, of every command that registers one."""

from typing import Annotated

import typer

MemoryMb = Annotated[int, typer.Option(metavar="MIB", help="Memory.")]
GpuModel = Annotated[str | None, typer.Option(help="What its accelerators are, as in a100.", show_default=False)]
GpuMemoryMb = Annotated[int, typer.Option(metavar="MIB", help="Memory of each accelerator.")]
Accelerators = Annotated[int, typer.Option(help="How many it has.")]
Residency = Annotated[
    str | None, typer.Option(help="The jurisdiction that its data stays in, as in de.", show_default=False)
]
LatencyMs = Annotated[int, typer.Option(metavar="MS", help="How far it is from its region's users.")]
