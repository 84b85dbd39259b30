"""`footfall flash`: from an empty board, or one that has counted for years, to a node that counts with this firmware.

The order is the safety: everything is asked and checked first (port, chip, image, settings, the firmware compiled), then what
would be lost is told, then it is written.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from footfall_gateway.commissioning import CommissioningError, provisioning
from footfall_gateway.commissioning.copying import Copier, current_slot
from footfall_gateway.commissioning.device_files import DeviceFile, compiled, firmware_version, loader
from footfall_gateway.commissioning.flashing import Esptool
from footfall_gateway.commissioning.images import Image, download_hint, find_image
from footfall_gateway.commissioning.language import language_option, told, tr
from footfall_gateway.commissioning.looking import Board, check_version, in_records, look
from footfall_gateway.commissioning.ports import Port, choose
from footfall_gateway.commissioning.provisioning import Asker, NodeSettings
from footfall_gateway.commissioning.repl import FIRST_START_S, Prompt, trouble
from footfall_gateway.commissioning.self_test import all_well, self_test

__all__ = ["flash"]

DONE, FAILED, INTERRUPTED = 0, 1, 130  # the last as a shell has it
YES, NO = ("y", "yes", "j", "ja"), ("n", "no", "nein")


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    port: str | None
    micropython: Path | None
    settings: Path | None
    new_settings: bool
    update_key: Path | None
    erase: bool
    erase_counts: bool
    dry_run: bool
    test: bool
    example_settings: bool
    download_mode: bool
    slow: bool


class Terminal(Asker):
    """Questions on the terminal."""

    def text(self, question: str, default: str | None = None) -> str:
        while not (given := str(click.prompt(question, default=default, type=str)).strip()):
            pass  # spaces are no answer
        return given

    def hidden(self, question: str) -> str:
        return str(click.prompt(question, default="", hide_input=True, show_default=False, type=str))

    def yes(self, question: str, *, default: bool) -> bool:
        choices = tr("Y/n") if default else tr("y/N")
        while True:
            given = (
                str(click.prompt(f"{question} [{choices}]", default="", show_default=False)).strip().lower()
            )
            if not given:
                return default
            if given in YES or given in NO:
                return given in YES
            self.say(tr("y for yes, n for no"))

    def say(self, words: str) -> None:
        click.echo(words)


@click.command(
    short_help="Make an ESP32 board a node, or bring it up to date.",
    epilog="""\b
Examples:
  footfall flash --micropython ~/Downloads       a new board: the file for its chip is picked
  footfall flash                                 bring a node's firmware up to date
  footfall flash --example-settings > node.toml  a settings file to fill in
  footfall flash --settings node.toml            with settings from that file
  footfall flash --dry-run                       look, ask and check, but write nothing
Passwords are asked for, or read from files that the settings file names; never
typed into the command.""",
)
@click.option(
    "--port", help="The board's port, such as /dev/ttyUSB0 or COM5. Left out: the board is looked for."
)
@click.option(
    "--micropython",
    type=click.Path(path_type=Path),
    metavar="FILE_OR_FOLDER",
    help="MicroPython's image, or a folder of which the newest for the board's chip is taken. Needed for a new board only.",
)
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    metavar="NODE.TOML",
    help="The node's settings (see --example-settings). Left out: a new node's are asked for, an old node's stay.",
)
@click.option("--new-settings", is_flag=True, help="Ask for the settings anew, though the node has some.")
@click.option(
    "--update-key",
    type=click.Path(path_type=Path),
    metavar="PUBLIC_KEY.PEM",
    help="Whose updates over the air the node takes.",
)
@click.option(
    "--erase",
    is_flag=True,
    help="Erase the whole board first, its settings and counts too. Asks if counts would be lost.",
)
@click.option(
    "--erase-counts",
    is_flag=True,
    help="For scripts: do not ask before counts are lost that the gateway does not have.",
)
@click.option("--dry-run", is_flag=True, help="Do everything but write, and say what would be written.")
@click.option("--test/--no-test", default=True, help="The self-test at the end.")
@click.option(
    "--download-mode",
    is_flag=True,
    help="The board is in download mode already: BOOT was held while EN was pressed.",
)
@click.option("--slow", is_flag=True, help="For poor cables: write MicroPython slowly.")
@language_option
@click.option(
    "--example-settings", is_flag=True, help="Print a settings file to start from, and do nothing else."
)
def flash(**options: object) -> int:
    """Make an ESP32 board a node of Footfall, or bring a node up to date.

    Finds the board on USB, writes MicroPython where it is missing or a file is given, copies the firmware, writes the settings,
    restarts the board and lets it test itself. What the node has counted stays in its flash: nothing that the
    gateway does not have is erased without a question. May be interrupted and given again at any time.

    Ends with 0 if the node counts and everything that can be tested is well, otherwise with 1.
    """
    wanted = Wanted(**options)  # type: ignore[arg-type]
    if wanted.example_settings:
        click.echo(Path(__file__).with_name(tr("node.example.toml")).read_text("utf-8"), nl=False)
        return DONE
    asker = Terminal() if _somebody_is_there() else None
    # its own sys.stdout: repl.py turns that of mpremote away meanwhile
    return Flashing(wanted, asker, Console(file=sys.stdout, highlight=False, soft_wrap=True)).run()


class Flashing:
    """One run of the command."""

    def __init__(self, wanted: Wanted, asker: Asker | None, console: Console) -> None:
        self._wanted = wanted
        self._asker = asker
        self._console = console
        self._writing = False
        self._written: NodeSettings | None = None  # settings that are on the board since this run

    def run(self) -> int:
        try:
            return self._run()
        except (click.Abort, KeyboardInterrupt):  # Ctrl-C, or nobody answers any more
            self._say(
                tr("\n[bold]Ended.[/] The same command goes on where it stopped.")
                if self._writing
                else tr("\n[bold]Ended.[/] Nothing was written to the board, and nothing erased.")
            )
            return INTERRUPTED

    def _run(self) -> int:
        board = self._look()
        image = self._image(board)
        anew = self._guard_counts(board, image)
        settings = self._settings(board, anew=anew)
        key = provisioning.update_key_file(self._wanted.update_key) if self._wanted.update_key else None
        firmware = compiled(board.chip)
        self._tell_plan(board, image, settings, key, anew=anew)
        if self._wanted.dry_run:
            self._say(tr("[bold]Nothing was written[/] (--dry-run)."))
            return DONE
        self._writing = True
        if image is not None:
            self._write_micropython(board, image, anew=anew)
        try:
            self._copy(board, firmware, settings, key)
            well = self._test(board)
        finally:  # whatever happens after: a password made by chance is told only here
            if self._written is not None:
                self._tell_gateway(self._written)
        return DONE if well else FAILED

    # ---- looking

    def _look(self) -> Board:
        port = choose(self._wanted.port, self._ask_port if self._asker else None)
        return look(
            port,
            lambda: self._esptool(port),
            self._console,
            download_mode=self._wanted.download_mode,
            has_image=self._wanted.micropython is not None,
        )

    def _ask_port(self, ports: Sequence[Port]) -> Port:
        assert self._asker is not None
        for number, port in enumerate(ports, 1):
            self._asker.say(f"  {number}  {port}")
        while True:
            given = self._asker.text(tr("Which board"), "1")
            if given.isdigit() and 1 <= int(given) <= len(ports):
                return ports[int(given) - 1]

    def _esptool(self, port: Port) -> Esptool:
        return Esptool(port.device, download_mode=self._wanted.download_mode, slow=self._wanted.slow)

    # ---- deciding

    def _image(self, board: Board) -> Image | None:
        if self._wanted.micropython is None:
            if self._wanted.erase:
                raise CommissioningError(
                    tr("--erase takes MicroPython away, too: it has to be given"), *download_hint(board.chip)
                )
            if board.facts is not None:
                check_version(board.facts, board.chip)
            return None
        image = find_image(self._wanted.micropython, board.chip)
        if (
            board.facts is not None
            and image.built
            and image.built == board.facts.version
            and not self._wanted.erase
        ):
            self._say(tr("  {image} is on it already", image=image.title))
            return None
        return image

    def _settings(self, board: Board, *, anew: bool) -> NodeSettings | None:
        """The settings to write; None: those on the board stay, if it has any (`_copy_files` looks)."""
        wanted = self._wanted
        if wanted.settings is not None:
            return provisioning.read_settings(wanted.settings, board.chip, board.own_name, self._asker)
        has_some = (
            board.facts.has_settings if board.facts is not None else None
        )  # None: it could not be asked
        if not wanted.new_settings and not anew and has_some is not False:
            return None
        return self._ask_settings(board)

    def _ask_settings(self, board: Board) -> NodeSettings:
        if self._asker is None:
            raise CommissioningError(
                tr("this node has no settings yet, and there is nobody to ask"),
                tr(
                    "Write them into a file (footfall flash --example-settings > node.toml) and give --settings node.toml"
                ),
            )
        return provisioning.settings_by_questions(self._asker, board.chip, board.own_name)

    def _guard_counts(self, board: Board, image: Image | None) -> bool:
        """Ask before counts are lost; returns whether the file system is to be made anew."""
        if image is None:
            return False
        facts = board.facts
        old = facts.files_at if facts is not None else 0
        if not old:
            with self._console.status(tr("reading the partition table …")):
                old = self._esptool(board.port).files_at()
        if not self._wanted.erase and (not old or old == image.files_at):
            return not old
        records: int | None = 0
        if facts is not None:
            records = board.waiting if board.waiting is not None else facts.records
        elif old:
            records = None
        if records == 0:
            return True
        if records is None:
            lost = tr(
                "what this board has counted cannot be read; if it was a node, its records would be lost"
            )
        elif board.waiting is not None:
            lost = tr("{records} that the gateway does not have would be lost", records=in_records(records))
        else:
            lost = tr(
                "{records} would be lost, of which the gateway may have some", records=in_records(records)
            )
        why = (
            tr("everything is to be erased")
            if self._wanted.erase
            else tr("this MicroPython has its files at another place")
        )
        self._say(f"[bold]{why}: {lost}.[/]")
        if self._wanted.erase_counts or self._wanted.dry_run:
            return True
        way_out = tr(
            "Let the node reach its gateway first, until `footfall node info` shows that nothing waits."
        )
        if self._asker is None:
            raise CommissioningError(
                tr("{device}: {lost}; nothing was erased", device=board.port.device, lost=lost),
                way_out,
                tr("Or lose them: --erase-counts"),
            )
        self._asker.say(way_out)
        number = in_records(records) if records is not None else tr("whatever is in its flash")
        if not self._asker.yes(tr("Really lose {number}?", number=number), default=False):
            raise CommissioningError(tr("nothing was erased"))
        return True

    def _tell_plan(
        self,
        board: Board,
        image: Image | None,
        settings: NodeSettings | None,
        key: DeviceFile | None,
        *,
        anew: bool,
    ) -> None:
        version = firmware_version()
        self._say(tr("[bold]To do:[/]"))
        if image is not None:
            erased = (
                tr(", after erasing everything")
                if self._wanted.erase
                else tr("; files and counts stay")
                if not anew
                else ""
            )
            self._say(
                tr(
                    "  write {image} ({file}, {kilobytes} KB){erased}",
                    image=image.title,
                    file=image.path.name,
                    kilobytes=len(image.content) >> 10,
                    erased=erased,
                )
            )
        slot = current_slot(board.facts) if board.facts is not None and not anew else ""
        beside = tr(", beside the one that is there (slot {slot})", slot=slot) if slot else ""
        self._say(
            tr(
                "  copy firmware {version} for the {chip}{beside}",
                version=version,
                chip=board.chip.title,
                beside=beside,
            )
        )
        if settings is not None:
            self._say(
                tr("  write the settings of {node}", node=settings.name)
                + (tr(", and the authority's certificate") if settings.ca else "")
            )
        else:
            self._say(tr("  keep its settings") + ("" if board.facts is not None else tr(", if it has any")))
        if key is not None:
            self._say(tr("  take updates over the air that this key signed"))

    # ---- writing

    def _write_micropython(self, board: Board, image: Image, *, anew: bool) -> None:
        esptool = self._esptool(board.port)
        if self._wanted.erase:
            with self._progress(tr("erasing everything")) as progress:
                esptool.erase(progress)
        with self._progress(tr("writing {image}", image=image.title)) as progress:
            esptool.write(image, progress, clear_files=anew and not self._wanted.erase)

    def _copy(
        self,
        board: Board,
        firmware: Sequence[DeviceFile],
        settings: NodeSettings | None,
        key: DeviceFile | None,
    ) -> None:
        """Put it all onto the board and restart it."""
        if self._wanted.download_mode:
            self._say(tr("[bold]Press the board's button EN (or RST) once.[/]"))
        with Prompt(board.port.device) as prompt:
            with self._console.status(tr("waiting for MicroPython …")):
                seen = prompt.enter(FIRST_START_S)
            if seen.kind != "prompt":
                what, way_out = trouble(seen)
                press = tr(
                    "Press the board's button EN (or RST), and give the same command without --micropython."
                )
                raise CommissioningError(f"{board.port.device}: {what}", way_out or press)
            try:
                self._copy_files(prompt, board, firmware, settings, key)
            finally:  # what is complete starts: the new firmware, or the one that was there
                prompt.restart()

    def _copy_files(
        self,
        prompt: Prompt,
        board: Board,
        firmware: Sequence[DeviceFile],
        settings: NodeSettings | None,
        key: DeviceFile | None,
    ) -> None:
        facts = prompt.facts()
        check_version(facts, board.chip)
        if settings is None and not facts.has_settings:
            settings = self._ask_settings(board)
        copier = Copier(prompt)
        with self._progress(tr("copying firmware {version}", version=firmware_version())) as progress:
            # before main.py, so that a new node never starts without its settings
            if settings is not None:
                for file in settings.files():
                    copier.put(file.path, file.content)
                self._written = settings
            if key is not None:
                copier.put(key.path, key.content)
            slot = copier.install(firmware, loader(), facts, lambda done, whole: progress(done / whole))
        if slot == current_slot(facts):
            self._say(tr("  this firmware was on it already (slot {slot})", slot=slot))

    def _test(self, board: Board) -> bool:
        if not self._wanted.test:
            self._say(tr("The board restarts; it was not tested (--no-test)."))
            return True
        with self._console.status(tr("waiting for the node to start …")) as status:

            def begins() -> None:
                status.update(tr("self-test, up to a minute: break the beams by hand, press each button …"))

            found = self_test(board.port.device, begins)
        self._say(tr("[bold]Self-test:[/]"))
        for one in found:
            colour = {True: "green", False: "red", None: "yellow"}[one.ok]
            self._console.print(f"  [{colour}]{one.mark}[/] {told(one.name)}: ", end="")
            self._console.print(told(one.words), markup=False)
            if one.to_do:
                self._console.print(f"      {one.to_do}", markup=False)
        well = all_well(found)
        self._say(
            tr("[bold green]The node counts.[/]")
            if well
            else tr("[bold]Look at the lines with ✗[/]; `footfall flash` given again tests again.")
        )
        return well

    def _tell_gateway(self, settings: NodeSettings) -> None:
        self._say(tr("\n[bold]For the gateway's footfall.toml:[/]"))
        self._console.print(provisioning.gateway_table(settings), markup=False)
        mqtt = settings.values.get("mqtt")
        if mqtt is not None:
            self._say(
                tr(
                    "\n[bold]For mosquitto's password file[/] (a hash, not the password; in place of a line for the same user):"
                )
            )
            self._console.print(provisioning.broker_line(mqtt["user"], mqtt["password"]), markup=False)
            if mqtt["user"] != settings.name:
                self._console.print(
                    tr(
                        "The access list lets a user write under its own name only: {user} is not {node}.",
                        user=mqtt["user"],
                        node=settings.name,
                    ),
                    markup=False,
                )
            self._say(
                tr(
                    "Then: sudo systemctl reload mosquitto. Its access list needs nothing new (docs/gateway.md)."
                )
            )
        elif settings.values.get("serial"):
            self._console.print(
                f'[[serial]]\nport = "/dev/serial/by-id/…"\nnode = "{settings.name}"', markup=False
            )

    # ---- the screen

    def _say(self, words: str) -> None:
        self._console.print(words)

    @contextlib.contextmanager
    def _progress(self, what: str) -> Iterator[Callable[[float], None]]:
        """A bar on a terminal; elsewhere a line when it is done."""
        if not self._console.is_terminal:
            yield lambda _: None
            self._say(tr("{what}: done", what=what))
            return
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(what, total=1.0)
            yield lambda done: progress.update(task, completed=done)
            progress.update(task, completed=1.0)


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()
