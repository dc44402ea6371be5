"""Model cards: the README.md that the Hugging Face hub reads and that says how to use the files.

Three kinds of directories get one: the adapter (exp/TAG), the whole model (exp/TAG/merged), and every CTranslate2
export (exp/TAG/ct2_TYPE).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from safetensors import safe_open

from utils.data.languages import language_name
from utils.data.lists import parse_key, read_list
from utils.errors import UserError
from utils.filesystem import atomic_open, read_json, write_json
from utils.report.exports import word_times_sentence
from utils.report.results_md import score_table
from utils.report.sentences import TITLES, by_set, reference_warnings, relatives_notes, training_lines
from utils.score.comparison import (
    MAIN_METRICS,
    SHOWN_METRICS,
    Decode,
    Row,
    at_their_best,
    collect,
    main_form,
    shown_rows,
)
from utils.train.records import training_summary

TEMPLATE = Path(__file__).parent / "templates"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_ISO_639 = {"jw": "jv"}  # Whisper's code for Javanese is an old one


@dataclass(frozen=True)
class Origin:
    """The base model, the data and the licences of a model, as far as they are known.

    Attributes:
        base_name: the base model's name on the hub, or its directory.
        licence: of the published model, a hub identifier; empty: that of the base weights, if it is known.
        data, data_licence: the training data and their licence; empty: not known.
    """

    base_name: str
    licence: str = ""
    data: str = ""
    data_licence: str = ""

    @property
    def is_on_hub(self) -> bool:
        return bool(_HUB_NAME.fullmatch(self.base_name)) and not Path(self.base_name).is_dir()

    @property
    def hub_licence(self) -> str:
        """The given licence; without one, ``mit`` for OpenAI's weights and ``other`` for all others."""
        return self.licence or ("mit" if self.base_name.startswith("openai/whisper") else "other")


@dataclass
class Experiment:
    """The content of one experiment's cards."""

    exp_dir: Path
    origin: Origin
    base_dir: Path
    languages: list[str]
    tasks: list[str]
    repo: str = ""  # USER/NAME on the hub; empty: directories are named
    decodes: list[Decode] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def open_experiment(exp_dir: Path, base_dir: Path, origin: Origin, train_text: Path, data: Path,
                    repo: str = "") -> Experiment:
    """Collect the content of the cards.

    Args:
        train_text: the training set's ``text``, for languages and tasks.
        data: directory of the sets; they tell whether a machine wrote their translations.
        repo: USER/NAME on the hub; empty: the cards name directories.

    Raises:
        UserError: nothing was decoded and scored, a list cannot be read, or ``repo`` is not a name on the hub.
    """
    if repo and not _HUB_NAME.fullmatch(repo):
        raise UserError(f"{repo!r} is not a name on the hub: give USER/NAME, with letters, digits, - _ .")
    keys = [parse_key(key) for key in read_list(train_text)]
    decodes = at_their_best(collect(exp_dir))
    notes = [f"**{warning}**" for warning in reference_warnings(decodes, data)]
    notes += [note for _, systems in by_set(decodes) for note in relatives_notes(systems)]
    notes += filter(None, [word_times_sentence(exp_dir)])
    return Experiment(exp_dir, origin, base_dir, sorted({key.language for key in keys}),
                      sorted({key.task for key in keys}), repo, decodes, notes)


def parts(exp_dir: Path) -> dict[str, Path]:
    """Directories to publish, by the suffix of their names on the hub: ``-lora``, ``""``, ``-ct2-int8``, ..."""
    found = {"-lora": exp_dir} if (exp_dir / "adapter_config.json").is_file() else {}
    if (exp_dir / "merged/model.safetensors").is_file() or any((exp_dir / "merged").glob("model-*.safetensors")):
        found[""] = exp_dir / "merged"
    found |= {"-" + path.name.replace("_", "-"): path for path in sorted(exp_dir.glob("ct2_*"))
              if (path / "model.bin").is_file()}
    return found


def write_cards(experiment: Experiment) -> list[Path]:
    """Write README.md of every part, and make the adapter's configuration portable; returns the paths of the cards."""
    written = []
    for suffix, directory in parts(experiment.exp_dir).items():
        if suffix == "-lora":
            make_adapter_portable(directory, experiment.origin.base_name)
        with atomic_open(directory / "README.md") as stream:
            stream.write(render_card(experiment, suffix))
        written.append(directory / "README.md")
    return written


def make_adapter_portable(directory: Path, base_name: str) -> None:
    """Write the base model's public name, transformers' own class and a plain list of layers into adapter_config.json.

    PEFT writes there a directory of this machine and this repository's model class, with which ``AutoPeftModel``
    refuses to load the adapter elsewhere. Weights and their names are the same in transformers' class. vLLM and other
    servers read ``target_modules`` as a list of names, not as a regular expression.
    """
    path = directory / "adapter_config.json"
    config = read_json(path, "Train again: pyscripts/train.py")
    config["base_model_name_or_path"] = base_name
    config["auto_mapping"] = {"base_model_class": "WhisperForConditionalGeneration",
                              "parent_library": "transformers.models.whisper.modeling_whisper"}
    config["target_modules"] = _adapted_layers(directory / "adapter_model.safetensors")
    write_json(path, config)


def _adapted_layers(weights: Path) -> list[str]:
    """The layers that an adapter changes: by their last names if it changes all such layers, else by their whole names.

    PEFT takes a name in the list for all layers whose names end with it.
    """
    with safe_open(weights, "pt") as file:
        names = {key.removeprefix("base_model.model.").partition(".lora_")[0] for key in file.keys()}  # noqa: SIM118
    both_sides = all(any(f".{side}.layers." in name for name in names) for side in ("encoder", "decoder"))
    return sorted({name.rpartition(".")[2] for name in names} if both_sides else names)


def render_card(experiment: Experiment, suffix: str) -> str:
    """README.md of one part: YAML header, how to use it, scores.

    Args:
        suffix: a key of :func:`parts`.
    """
    kind = "adapter" if suffix == "-lora" else "ct2" if suffix else "merged"
    system = suffix.removeprefix("-") if kind == "ct2" else "lora"
    names = _names(experiment, suffix)
    origin, languages = experiment.origin, experiment.languages
    title = f"{names[kind]}" if experiment.repo else f"{experiment.exp_dir.name}{suffix}"
    environment = Environment(loader=FileSystemLoader(TEMPLATE), undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True, keep_trailing_newline=True)
    order = [kind, *(part for part in ("ct2", "merged", "adapter") if part != kind and part in names)]
    shown = [decode for decode in experiment.decodes if decode.system in ("base", "lora", system)]
    scores = [(name, score_table(systems, SHOWN_METRICS, main_form(systems))) for name, systems in by_set(shown)]
    return environment.get_template("model_card.md.j2").render(
        card_data=_header(experiment, kind, system, title).to_yaml(), title=title, summary=_summary(experiment, kind),
        facts=_facts(experiment), on_hub=bool(experiment.repo), order=order, names=names, language=_example(languages),
        task_list=", ".join(f'"{task}"' for task in experiment.tasks) + ("," if len(experiment.tasks) == 1 else ""),
        n_tasks=len(experiment.tasks), scores=scores, notes=experiment.notes, licence=_licence(origin))


def _names(experiment: Experiment, suffix: str) -> dict[str, str]:
    """The name of each kind of part in code examples; of several exports, the card's own or the first."""
    found = {"base": experiment.origin.base_name if experiment.origin.is_on_hub else str(experiment.base_dir)}
    there = parts(experiment.exp_dir)
    for other in sorted(there, key=lambda other: other == suffix):
        kind = "adapter" if other == "-lora" else "ct2" if other else "merged"
        if kind not in found or other == suffix:
            found[kind] = experiment.repo + other if experiment.repo else str(there[other])
    return found


def _example(languages: Sequence[str]) -> str:
    return next((language for language in languages if language != "en"), "en")


def _header(experiment: Experiment, kind: str, system: str, title: str) -> ModelCardData:
    origin = experiment.origin
    library = {"adapter": "peft", "merged": "transformers", "ct2": "ctranslate2"}[kind]
    tags = ["whisper", "multitask", "speech-translation", *(["lora"] if kind == "adapter" else []),
            *(["faster-whisper"] if kind == "ct2" else [])]
    results = [_eval_result(row) for decode in experiment.decodes if decode.system == system
               for row in shown_rows(decode.rows, MAIN_METRICS, main_form([decode]))]
    return ModelCardData(base_model=origin.base_name if origin.is_on_hub else None,
                         language=[_ISO_639.get(code, code) for code in experiment.languages], library_name=library,
                         pipeline_tag="automatic-speech-recognition", tags=tags, model_name=title.rpartition("/")[2],
                         metrics=sorted({result.metric_type for result in results}), eval_results=results or None,
                         license=origin.hub_licence,
                         license_name="see-below" if origin.hub_licence == "other" else None)


def _eval_result(row: Row) -> EvalResult:
    low, high = row["ci95"]
    task = "translation" if row["task"] == "translate" else "automatic-speech-recognition"
    return EvalResult(task_type=task, dataset_type=row["set"], dataset_name=row["set"], dataset_config=row["language"],
                      metric_type=row["metric"], metric_value=round(row["value"], 2),
                      metric_name=f"{TITLES[row['metric']]} ({row['language']}, 95 % interval {low:.1f} to {high:.1f})")


def _summary(experiment: Experiment, kind: str) -> str:
    what = {"adapter": "A LoRA adapter", "merged": "The whole model", "ct2": "A CTranslate2 export"}[kind]
    how = "fine-tuned with LoRA" if (experiment.exp_dir / "adapter_config.json").is_file() else "fine-tuned"
    tasks = " and ".join({"transcribe": "transcribe speech", "translate": "translate it into English"}[task]
                         for task in experiment.tasks)
    return f"{what} of {experiment.origin.base_name}, {how} to {tasks} in one model."


def _facts(experiment: Experiment) -> list[tuple[str, str]]:
    origin = experiment.origin
    data = origin.data or "own lists"
    languages = ", ".join(language_name(code).title() for code in experiment.languages)
    facts = [("base model", origin.base_name), ("languages", languages), ("tasks", ", ".join(experiment.tasks)),
             ("trained on", data)]
    lines = (line.partition(": ") for line in training_lines(training_summary(experiment.exp_dir)))
    return facts + [(name, value) for name, _, value in lines]


def _licence(origin: Origin) -> str:
    base = "MIT, (c) 2022 OpenAI" if origin.base_name.startswith("openai/whisper") else "not known here"
    ours = f"this model: {origin.hub_licence}" if origin.hub_licence != "other" else \
        "this model: not stated; whoever publishes it must say (--license)"
    return f"Base weights: {base}; data: {origin.data_licence or 'not known here'}; {ours}."


def read_header(readme: Path) -> Mapping[str, Any]:
    """The YAML header of a card.

    Raises:
        UserError: there is no card, or it has no header.
    """
    import yaml

    try:
        head = readme.read_text(encoding="utf-8").split("---\n")[1]
        return yaml.safe_load(head)
    except (OSError, IndexError, yaml.YAMLError):
        raise UserError(f"{readme}: no model card. Write it: pyscripts/write_model_cards.py") from None
