#!/usr/bin/env python3
"""Choose between run.sh's options and the same keys of the configuration, and say which value is used.

    pyscripts/choose_settings.py --config my.yaml --filled model.model_path=download/whisper-base \\
        -- predict.beam_size=5 dev_env.quantization=

KEY=VALUE is an option of run.sh. A given value is used; if it is empty, the configuration's is. The values are printed
in the order of the options, one a line. --filled names the keys that run.sh always sets. A log line names every value
of the file that is not used.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import boolean, log, make_parser, run_main
from utils.config import load_config, written_values


def main() -> None:
    """Parse the command line, compare, print."""
    parser = make_parser(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML file")
    parser.add_argument("--filled", nargs="+", default=[], type=_pair, metavar="KEY=VALUE",
                        help="keys that run.sh sets; a key that it sets to several values is given several times")
    parser.add_argument("--quiet", type=boolean, default="false", metavar="true|false", help="no log lines")
    parser.add_argument("options", nargs="*", type=_pair, metavar="KEY=VALUE", help="an option of run.sh, and its key")
    args = parser.parse_args()

    config = load_config(args.config)
    used: dict[str, list[str]] = {}
    for key, value in args.filled:
        used.setdefault(key, []).append(value)
    for key, value in args.options:
        if value:
            used[key] = [value]
        print(value or _shown(_value(config, key)))
    for key, value in written_values(args.config, used).items():
        if not args.quiet and value != "" and str(value) not in used[key]:
            given = f"; run.sh gives {' and '.join(used[key])}" if any(used[key]) else " by run.sh"
            log(f"{args.config}: {key}: {value} is not used{given}")


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise ValueError(word)
    return key, value


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(config: object, key: str) -> object:
    for name in key.split("."):
        config = getattr(config, name)
    return config


if __name__ == "__main__":
    run_main(main)
