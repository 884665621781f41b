"""Draws the dashboard's panels with recorded answers: draw.py ANSWERS.json PICTURE.png"""

import json
import re
import sys
from datetime import datetime, timezone

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates as dates
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter
from PIL import Image

BACKGROUND, PANEL, TEXT, FAINT = "#111217", "#181b1f", "#d8d9da", "#8e9297"
LINES = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#37872d", "#fade2a", "#8ab8ff", "#ffa6b0"]
NAMED = {"green": "#73bf69", "red": "#f2495c", "orange": "#ff9830", "blue": "#5794f2", "transparent": "none"}
COLUMN, ROW = 0.58, 0.23


def humane(value, unit):
    if value != value:
        return "–"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "bytes":
        power = 0
        while abs(value) >= 1024 and power < 4:
            value, power = value / 1024, power + 1
        return f"{value:.3g} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}"
    if unit == "s":
        if value and abs(value) < 1:
            return f"{value * 1000:.3g} ms"
        return f"{value:.3g} s" if abs(value) < 120 else f"{value / 60:.3g} min"
    return (f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}") + {"reqps": " req/s", "ops": " /s"}.get(unit, "")


def label(legend, metric):
    return re.sub(r"\{\{(\w+)\}\}", lambda found: metric.get(found[1], ""), legend).strip()


def series(panel):
    for answer in panel["answers"]:
        for result in answer["result"]:
            values = result.get("values") or [result["value"]]
            yield label(answer["legendFormat"], result["metric"]), result["metric"], [(float(t), float(v)) for t, v in values]


def threshold(panel, value):
    color = "green"
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return NAMED[color]


def mapped(panel, value):
    for mapping in panel["fieldConfig"]["defaults"].get("mappings", []):
        return mapping["options"].get(str(int(value)))
    return None


def override(panel, name):
    for rule in panel["fieldConfig"]["overrides"]:
        matcher = rule["matcher"]
        hit = name == matcher["options"] if matcher["id"] == "byName" else re.search(matcher["options"], name)
        if hit:
            properties = {item["id"]: item["value"] for item in rule["properties"]}
            return NAMED[properties["color"]["fixedColor"]], "custom.lineStyle" in properties
    return None, False


def plot(axes, panel):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    custom = panel["fieldConfig"]["defaults"]["custom"]
    bottom = None
    for number, (name, _, values) in enumerate(series(panel)):
        color, dashed = override(panel, name)
        color = color or LINES[number % len(LINES)]
        times = [datetime.fromtimestamp(time, timezone.utc) for time, _ in values]
        heights = [value for _, value in values]
        if "stacking" in custom:
            base = [(bottom or {}).get(time, 0) for time in times]
            heights = [low + (high if high == high else 0) for low, high in zip(base, heights)]
            axes.fill_between(times, base, heights, color=color, alpha=0.3, linewidth=0)
            bottom = {**(bottom or {}), **dict(zip(times, heights))}
        axes.plot(times, heights, color=color, linewidth=1, linestyle="--" if dashed else "-", label=name)
    if custom.get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
    else:
        # Room for the legend, and for a threshold only where the values come near it.
        drawn = [value for line in axes.lines for value in line.get_ydata() if value == value]
        axes.set_ylim(0, max(drawn, default=0) * 1.35 or 1)
    if "thresholdsStyle" in custom:
        for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]:
            if step["value"] < axes.get_ylim()[1]:
                axes.axhline(step["value"], color=NAMED[step["color"]], linewidth=0.8)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: humane(value, unit)))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S"))
    axes.xaxis.set_major_locator(plt.MaxNLocator(3))
    axes.tick_params(colors=FAINT, labelsize=5, length=0)
    axes.grid(color="#2c3235", linewidth=0.4)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=4.5, labelcolor=TEXT, frameon=False, loc="upper left", ncols=2, handlelength=1)


def stat(axes, panel):
    axes.axis("off")
    found = list(series(panel))
    value = found[0][2][-1][1] if found else float("nan")
    mapping = mapped(panel, value) if found else None
    text = mapping["text"] if mapping else humane(value, panel["fieldConfig"]["defaults"]["unit"])
    text = text if found else panel["fieldConfig"]["defaults"].get("noValue", "No data")
    color = NAMED[mapping["color"]] if mapping else threshold(panel, value) if found else FAINT
    axes.text(0.5, 0.45, text, color=color, fontsize=13, ha="center", va="center", transform=axes.transAxes)


def bars(axes, panel):
    found = sorted(((values[-1][1], name) for name, _, values in series(panel)))
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.barh([name for _, name in found], [value for value, _ in found], color=[threshold(panel, value) for value, _ in found], height=0.7)
    for place, (value, name) in enumerate(found):
        axes.text(0, place, f" {name}  {humane(value, unit)}", color=TEXT, fontsize=5, va="center")
    axes.set_xticks([])
    axes.set_yticks([])


def timeline(axes, panel):
    names = []
    for place, (name, _, values) in enumerate(series(panel)):
        names.append(name)
        for (start, value), (end, _) in zip(values, values[1:]):
            left, right = (dates.date2num(datetime.fromtimestamp(time, timezone.utc)) for time in (start, end))
            axes.barh(place, right - left, left=left, height=0.8, color=NAMED[mapped(panel, value)["color"]])
    axes.set_yticks(range(len(names)), names)
    axes.xaxis_date()
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S"))
    axes.tick_params(colors=FAINT, labelsize=5, length=0)


def table(axes, panel):
    axes.axis("off")
    hidden = {"__name__", "job", "service"}
    lines = ["   ".join(f"{value}" for key, value in metric.items() if key not in hidden) + ("" if metric.get("alertname") or metric.get("version") else f"   {humane(values[-1][1], 'none')}") for _, metric, values in series(panel)]
    text = "\n".join(lines) or panel["fieldConfig"]["defaults"].get("noValue", "")
    axes.text(0.01, 0.95, text, color=TEXT, fontsize=5.5, va="top", transform=axes.transAxes, wrap=True)


DRAW = {"timeseries": plot, "stat": stat, "bargauge": bars, "state-timeline": timeline, "table": table}


def main(answers, picture):
    with open(answers, encoding="utf-8") as file:
        panels = json.load(file)
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(24 * COLUMN, height * ROW), dpi=110, facecolor=BACKGROUND)
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] / 24, 1 - place["y"] / height
        width, tall = place["w"] / 24, place["h"] / height
        if panel["type"] == "row":
            figure.text(left + 0.004, top - tall / 2, panel["title"], color=TEXT, fontsize=8, weight="bold", va="center")
            continue
        box = figure.add_axes((left + 0.001, top - tall + 0.001, width - 0.002, tall - 0.002), facecolor=PANEL)
        box.set_xticks([])
        box.set_yticks([])
        for spine in box.spines.values():
            spine.set_color("#2c3235")
        box.set_title(panel["title"], color=TEXT, fontsize=6.5, loc="left", x=0.015, y=1, pad=-8)
        margin = 0.008 if panel["type"] in ("stat", "table", "bargauge") else 0.045
        inner = (left + margin, top - tall + 0.9 / height, width - margin - 0.008, tall - 2.3 / height)
        axes = figure.add_axes(inner, facecolor=PANEL)
        for spine in axes.spines.values():
            spine.set_visible(False)
        DRAW[panel["type"]](axes, panel)
    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    image.quantize(96).save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
