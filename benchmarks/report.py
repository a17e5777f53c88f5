"""Tables made of what was measured: ratios, and whether they are what we want of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from benchmarks.cases import CHANNELS, MASKS, POINTS, SAMPLES
from benchmarks.results import Results, Row

FLOORS = {  # window 32, times as fast as the dense way
    "MobileNetV2": 4.0,
    "ResNet50": 2.0,
    "VGG16": 4.0,
    "DenseNet121": 1.7,
    "EfficientNetB0": 1.2,
    "EfficientNetLite0": 1.2,
}
OURS, PLAIN = "Picasso", "TensorFlow"
EVEN = 0.97  # two measurements of the same thing differ by so much: from here on it is as fast
BEGIN, END = "<!-- benchmarks: written by make bench -->", "<!-- benchmarks: end -->"
WINDOW = 32
IN_TIME = 0.15  # seconds until an answer should be there while the hand moves
BACK_IN = 15  # seconds until a worker that died should be there again
INTRODUCTION = """# How fast Picasso is

Written by `make bench`. {conditions}

Figures are how many times as fast Picasso is: 2.0 means half the time. All libraries are timed in one process, in turn,
and medians are compared. The peers are xplique, tf-explain, saliency and tf-keras-vis, each used as its documentation
says. How it is measured: [architecture](../docs/architecture.md#how-speed-is-measured).
"""
OCCLUSION = """## Occlusion

Whole maps, 224 x 224, stride 16, against running the network once per window (TensorFlow, compiled, batches of at most
32), and with window 32 against the peers. The bound is what the multiply-adds that are left would allow. More is
possible because normalizations are folded away and small maps stay in the processor's cache. What is missing goes into
gathering patches, reading the weights for each batch, and convolutions too small to keep all cores busy. The floors are
what a prototype reached on an Intel processor with AMX. The deviation is the largest difference from the dense scores,
as a share of the largest score.
"""
PREVIEW = """### Preview in bfloat16

Not exact, and offered only where the processor is quick enough in it: times as fast as the dense way in float32. In
brackets: how alike its map is to the exact one (correlation; the networks with random weights have maps of little but
rounding).
"""
METHODS = f"""## Other methods, warm

Against the fastest peer that has the method, with the same numbers of samples ({SAMPLES}), points ({POINTS}), channels
({CHANNELS}) and masks ({MASKS}). From {EVEN} on it counts as equally fast. The last column is the share of Picasso's
time that the network alone takes (compiled TensorFlow on the same number of images): the rest is the method's own
arithmetic. Above 100 %, Picasso runs the network quicker.
"""
ASKING = """## Asking by hand

How long the answer takes when a part of a picture is hidden by hand: milliseconds from the request to the answer over
HTTP, and times one forward pass of the compiled network, with one image, in turn with the questions.
"""
BROWSING = """## In the browser

Milliseconds in Chromium on the same two cores: from the last movement of the pointer to the bars that answer it, while
a square is dragged over a picture without a pause; the same while "Can it be trusted?" runs in the same worker process;
and the slowest first paint of the start page, two visualizations' pages and the runs, with nothing kept.

"""
RECOVERY = """## After a worker process' death

Seconds from `kill -9` of the worker process to the next answer about a picture: a process is started, TensorFlow
imported and the model opened.
"""
COLD = """## First map

A process each, from the opened network to the first map. Picasso's worker warms up by itself after it has opened a
network; "just opened" is before that. In brackets: seconds.
"""
MEMORY = """## Peak memory

Megabytes at most beyond the network as Keras loads it, in a process of its own, with what opening the network left
behind. The peer that takes least computes one image at a time; beside it is the one whose first map is the fastest.
Just opened is compared, where it is measured: peers do not warm up either.
"""


def write(results: Results, page: Path, readme: Path | None) -> None:
    """Writes the page of tables, and the short one of the README between its markers."""
    page.write_text(markdown(results), encoding="utf-8")
    if readme is not None:
        before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        readme.write_text(f"{before}{BEGIN}\n{short(results)}{END}{after}", encoding="utf-8")


def line(row: Row) -> str:
    """What a person sees while it runs."""
    what = [row["question"], row["network"], row["method"], f"window {row['window']}" if row["window"] else ""]
    told = row.get("problem") or ", ".join(f"{name} {row[name]:.3g}" for name in TOLD if name in row)
    return " ".join(filter(None, what)) + f", {row['library']}: {told} (load {row['load']:.1f})"


def markdown(results: Results) -> str:
    """The whole page."""
    sections = [
        INTRODUCTION.format(conditions=_conditions(results)),
        OCCLUSION + _occlusion(results) + _elsewhere(results, question="warm", method="occlusion"),
        PREVIEW + _preview(results) if results.of(question="preview") else "",
        METHODS + _methods(results) + _elsewhere(results, question="warm", window=0),
        ASKING + _asking(results) + _elsewhere(results, question="asking"),
        BROWSING + _browsing(results) + _elsewhere(results, question="browsing"),
        RECOVERY + _recovery(results) + _elsewhere(results, question="recovery"),
        COLD + _cold(results) + _elsewhere(results, question="cold"),
        MEMORY + _memory(results) + _elsewhere(results, question="cold"),
        _problems(results),
    ]
    return "\n".join(section for section in sections if section)


def short(results: Results) -> str:
    """What the README shows: occlusion on each network, the other methods on all networks together."""
    rows = []
    for network in _all(results, "network", question="warm", method="occlusion"):
        ratios = _ratios(results, network, "occlusion", WINDOW)
        rows.append([f"Occlusion, {network}", _times(ratios.get(PLAIN)), _fastest(ratios)])
    groups = {"Gradient methods": GRADIENTS, "Grad-CAM, Grad-CAM++, LayerCAM": CAMS, "RISE, Score-CAM": MASKED}
    for name, methods in groups.items():
        networks = _all(results, "network", question="warm", window=0)
        found = [_best(_ratios(results, network, method, 0)) for network in networks for method in methods]
        values = [ratio for _, ratio in filter(None, found)]
        if values:
            rows.append([name, "", f"{min(values):.2f} to {max(values):.2f}, mean {geometric_mean(values):.2f}"])
    heads = ["window 32, stride 16", "times as fast as once per window", "times as fast as the fastest peer"]
    return _table(heads, rows)


TOLD = (
    "seconds",
    "late",
    "forward",
    "beside",
    "late_beside",
    "paint",
    "open_seconds",
    "warm_up_seconds",
    "peak_mb",
    "share",
    "deviation",
)
GRADIENTS = ("gradient", "gradient x input", "SmoothGrad", "integrated gradients", "guided backpropagation")
CAMS = ("Grad-CAM", "Grad-CAM++", "LayerCAM")
MASKED = ("RISE", "Score-CAM")


def _conditions(results: Results) -> str:
    facts = results.conditions
    if not facts:
        return "Nothing is measured yet."
    versions = ", ".join(f"{name} {version}" for name, version in facts.get("versions", {}).items())
    load = max((row["load"] for row in results.rows), default=0.0)
    machine = ", ".join(str(facts.get(name)) for name in ("processor", "system"))
    return f"{facts.get('date')}: {machine}, {facts.get('cores')} cores, load at most {load:.1f}. {versions}."


def _elsewhere(results: Results, **facts: Any) -> str:
    """Which rows were measured on another processor than the last ones, as a line; "" where none was."""
    here, others = results.conditions.get("processor"), set()
    for row in results.of(**facts):
        if row.get("machine", here) != here:
            others.add(f"{row['network']} on {row['machine']}")
    return f"\nMeasured earlier, on another machine: {', '.join(sorted(others))}.\n" if others else ""


def _occlusion(results: Results) -> str:
    peers = sorted({row["library"] for row in results.of(question="warm", method="occlusion")} - {OURS, PLAIN})
    windows = sorted(_all(results, "window", question="warm", method="occlusion"))
    rows = []
    for network in _all(results, "network", question="warm", method="occlusion"):
        ratios = {window: _ratios(results, network, "occlusion", window) for window in windows}
        dense, floor = ratios.get(WINDOW, {}).get(PLAIN), FLOORS.get(network)
        facts = next(iter(results.of(question="exactness", network=network, window=WINDOW)), {})
        bound = 1 / facts["share"] if "share" in facts else None
        cells = [network, *(_times(ratios[window].get(PLAIN)) for window in windows)]
        cells += [str(floor or ""), _yes(dense >= floor) if dense and floor else ""]
        cells += [_times(bound), f"{dense / bound:.0%}" if dense and bound else ""]
        cells += [f"{facts['deviation']:.0e}" if "deviation" in facts else ""]
        rows.append(cells + [_times(ratios.get(WINDOW, {}).get(peer)) for peer in peers])
    heads = ["network", *(f"window {window}" for window in windows), "floor (32)", "met", "bound (32)", "reached"]
    return _table([*heads, "deviation", *peers], rows)


def _preview(results: Results) -> str:
    windows = sorted(_all(results, "window", question="preview"))
    rows = []
    for network in _all(results, "network", question="preview"):
        found = {row["window"]: row for row in results.of(question="preview", network=network)}
        rows.append([network, *(_previewed(found[window]) if window in found else "" for window in windows)])
    return _table(["network", *(f"window {window}" for window in windows)], rows)


def _previewed(row: Row) -> str:
    return f"{row['dense'] / row['seconds']:.2f} ({row['correlation']:.3f})"


def _methods(results: Results) -> str:
    networks = _all(results, "network", question="warm", window=0)
    rows = []
    for method in _all(results, "method", question="warm", window=0):
        ratios = [_ratios(results, network, method, 0) for network in networks]
        best = [_best(one) for one in ratios]
        own = [f"{one[PLAIN]:.0%}" if PLAIN in one else "" for one in ratios]
        rows.append([method, *map(_named, best), _all_even(best), ", ".join(own)])
    return _table(["method", *networks, "at least as fast", "the network alone"], rows)


def _asking(results: Results) -> str:
    rows = [
        [
            row["network"],
            f"{1000 * row['seconds']:.0f}",
            f"{1000 * row['late']:.0f}",
            f"{1000 * row['forward']:.0f}",
            f"{row['seconds'] / row['forward']:.1f}",
            _yes(row["late"] < IN_TIME),
        ]
        for row in results.of(question="asking")
        if "seconds" in row
    ]
    heads = ["network", "median", "95th percentile", "one forward pass", "median / forward pass"]
    return _table([*heads, f"95 % within {1000 * IN_TIME:.0f} ms"], rows)


def _browsing(results: Results) -> str:
    columns = ("seconds", "late", "beside", "late_beside", "paint")
    rows = [
        [row["network"], *(f"{1000 * row[column]:.0f}" for column in columns), _yes(row["late"] < IN_TIME)]
        for row in results.of(question="browsing")
        if "seconds" in row
    ]
    heads = ["network", "median", "95th percentile", "median beside a check", "95th percentile beside it"]
    return _table([*heads, "first paint", f"95 % within {1000 * IN_TIME:.0f} ms"], rows)


def _recovery(results: Results) -> str:
    rows = [
        [row["network"], f"{row['seconds']:.1f}", f"{row['late']:.1f}", str(row["rounds"]), _yes(row["late"] < BACK_IN)]
        for row in results.of(question="recovery")
        if "seconds" in row
    ]
    return _table(["network", "median", "slowest", "deaths", f"within {BACK_IN} s"], rows)


def _cold(results: Results) -> str:
    methods = [one for one in _all(results, "method", question="cold") if one not in ("loading", "occlusion")]
    measured = [row["network"] for method in methods for row in results.of(question="cold", method=method)]
    networks = list(dict.fromkeys(measured))  # of others, only occlusion's memory
    rows = []
    for method in methods:
        cells: list[str] = []
        best = []
        for network in networks:
            peers = _seconds(results, network, method)
            peer = min(peers, key=peers.__getitem__, default="")
            ours = [_ours(results, network, method, warm) for warm in (True, False)]
            ratios = [peers[peer] / one if peer and one else None for one in ours]
            best.append((peer, ratios[0]) if ratios[0] else None)
            cells += [f"{_times(ratio)} ({one:.2f})" if one else "" for ratio, one in zip(ratios, ours, strict=True)]
            cells.append(f"{peer} ({peers[peer]:.2f})" if peer else "")
        rows.append([method, *cells, _all_even(best)])
    heads = [head for one in networks for head in (f"{one}, warmed up", "just opened", "fastest peer")]
    return _table(["method", *heads, "warmed up: at least as fast"], rows) + _opening(results)


def _opening(results: Results) -> str:
    sentences = []
    for network in _all(results, "network", question="cold"):
        loading = results.of(question="cold", network=network, method="loading")
        ours = results.of(question="cold", network=network, library=OURS, warm_up=True)
        if loading and ours:
            more = _beyond(loading[0], ours[0], "loaded_mb")
            sentences.append(
                f"{network}: Keras loads it in {loading[0]['open_seconds']:.1f} s, Picasso opens it in "
                f"{ours[0]['open_seconds']:.1f} s ({abs(more):.0f} MB {'more' if more >= 0 else 'less'}) and warms up "
                f"in {ours[0]['warm_up_seconds']:.1f} s."
            )
    return "\nOpening, before any map: " + " ".join(sentences) + "\n" if sentences else ""


def _memory(results: Results) -> str:
    rows = []
    for row in results.of(question="cold", library=OURS, warm_up=True):
        network, method = row["network"], row["method"]
        peers, seconds = _megabytes(results, network, method), _seconds(results, network, method)
        ours = [_megabytes(results, network, method, warm).get(OURS) for warm in (True, False)]
        peers.pop(OURS, None)
        compared = ours[0] if ours[1] is None else ours[1]  # peers do not warm up either
        if compared is None or not peers:
            continue
        named = min(peers, key=peers.__getitem__), min(peers, key=seconds.__getitem__)
        cells = ["" if value is None else f"{value:.0f}" for value in ours]
        cells += [f"{peers[one]:.0f} ({one})" for one in named]
        rows.append([network, method, *cells, *(_yes(compared < peers[one]) for one in named)])
    heads = ["warmed up", "just opened", "peer with least", "fastest peer", "below all", "below the fastest"]
    return _table(["network", "method", *heads], rows) + _loaded(results)


def _loaded(results: Results) -> str:
    found = [
        f"{row['loaded_mb']:.0f} MB with {row['network']}" for row in results.of(question="cold", method="loading")
    ]
    return f"\nA process that has imported TensorFlow and loaded the network: {', '.join(found)}.\n" if found else ""


def _problems(results: Results) -> str:
    told = [
        f"- {row['library']}, {row['method']}, {row['network']}: does not run. {row['problem']}"
        for row in results.problems()
    ]
    return "## What does not run\n\n" + "\n".join(dict.fromkeys(told)) + "\n" if told else ""


def _ratios(results: Results, network: str, method: str, window: int) -> dict[str, float]:
    """How many times as fast Picasso is as each other library, warm."""
    rows = results.of(question="warm", network=network, method=method, window=window)
    seconds = {row["library"]: row["seconds"] for row in rows if "seconds" in row}
    ours = seconds.pop(OURS, None)
    return {name: value / ours for name, value in seconds.items()} if ours else {}


def _seconds(results: Results, network: str, method: str) -> dict[str, float]:
    rows = results.of(question="cold", network=network, method=method)
    return {row["library"]: row["seconds"] for row in rows if "seconds" in row and row["library"] != OURS}


def _ours(results: Results, network: str, method: str, warm_up: bool) -> float | None:
    rows = results.of(question="cold", network=network, method=method, library=OURS, warm_up=warm_up)
    return next((row["seconds"] for row in rows if "seconds" in row), None)


def _megabytes(results: Results, network: str, method: str, warm_up: bool = True) -> dict[str, float]:
    """Each library's peak beyond its imports and the network as Keras loads it."""
    loading = results.of(question="cold", network=network, method="loading")
    if not loading:
        return {}
    rows = results.of(question="cold", network=network, method=method, warm_up=warm_up)
    return {row["library"]: _beyond(loading[0], row, "peak_mb") for row in rows if "peak_mb" in row}


def _beyond(loading: Row, row: Row, what: str) -> float:
    """Megabytes without a process' own imports, and without what the network takes where Keras has only loaded it."""
    taken: float = loading["loaded_mb"] - loading["imported_mb"]
    return float(row[what] - row["imported_mb"] - taken)


def _best(ratios: dict[str, float]) -> tuple[str, float] | None:
    """The fastest peer, and how many times as fast Picasso is."""
    peers = {name: ratio for name, ratio in ratios.items() if name != PLAIN}
    return min(peers.items(), key=lambda pair: pair[1]) if peers else None


def _fastest(ratios: dict[str, float]) -> str:
    return _named(_best(ratios))


def _named(best: tuple[str, float] | None) -> str:
    return f"{_times(best[1])} ({best[0]})" if best else ""


def _times(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.2f}" if ratio >= EVEN else f"**{ratio:.2f}**"


def _all_even(best: Iterable[tuple[str, float] | None]) -> str:
    ratios = [one[1] for one in best if one]
    return _yes(min(ratios) >= EVEN) if ratios else ""


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "**no**"


def _all(results: Results, name: str, **facts: Any) -> list[Any]:
    """The values of one column, in the order in which they came."""
    return list(dict.fromkeys(row[name] for row in results.of(**facts)))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "\nNot measured yet.\n"
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
