"""Pages of films that were read: report.html of one, index.html of a folder of them. No scripts, nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from spondyl import __version__
from spondyl.report.film_record import FilmRecord
from spondyl.report.page import Film, degrees, regions
from spondyl.report.record import DISCLAIMER


@dataclass(frozen=True)
class Card:
    """One film of an index: its name, its state, a few words, and the files beside the index that show more ("" for none)."""

    file: str
    state: str
    words: str
    thumbnail: str = ""
    page: str = ""


def film_html(record: FilmRecord, film: Film) -> str:
    """The page of one film."""
    return _rendered("film.html", {"record": record, "film": film, "regions": regions(record.levels)})


def index_html(title: str, cards: Sequence[Card], counts: Sequence[tuple[str, int]], notes: Sequence[str]) -> str:
    """The page of many films, in the order given."""
    return _rendered("film_index.html", {"title": title, "cards": cards, "counts": counts, "notes": notes})


def _rendered(template: str, words: Mapping[str, object]) -> str:
    from jinja2 import Environment, StrictUndefined

    here = files("spondyl.report")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["deg"] = degrees
    style = (here / "style.css").read_text(encoding="utf-8")
    fixed = {"style": style, "version": __version__, "disclaimer": DISCLAIMER}
    return page.from_string((here / template).read_text(encoding="utf-8")).render({**words, **fixed})
