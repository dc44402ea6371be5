#!/usr/bin/env python3
"""Write what the tokenizer is compared with, from OpenAI's own package. Needs tiktoken and numpy, nothing else of it.

    pip download --no-deps --no-binary :all: openai-whisper && tar xf openai_whisper-*.tar.gz
    tests/openai_tokens.py openai_whisper-*/whisper/assets/multilingual.tiktoken

It writes tests/openai_token_ids.json (known texts with their ids) and utils/data/whisper_ranks.json (checksums).
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import tiktoken

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""  # whisper/tokenizer.py
TEXTS = {
    "English": " This is a test: the temperature today isn't the same as tomorrow's, they'll try to tell.",
    "digits": " Call 0800 123 4567, extension 42; it costs $3.50 (or 3,50 €) at 7:05.",
    "white space": "  two  spaces\n\nand\ttabs   ",
    "punctuation": " … «quoted» “curly” – dash — ¿qué? ¡ya! ♪ 🙂👍🏽",
    "French": " L'été, où êtes-vous ? Ça coûte très cher, n'est-ce pas ?",
    "Spanish": " El teléfono está ocupado; inténtelo más tarde, señor.",
    "German": " Öffnen Sie bitte die Tür für Fräulein Weiß.",
    "Polish": " Zażółć gęślą jaźń.",
    "Czech": " Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Turkish": " İstanbul'da ılık bir ağustos günü.",
    "Vietnamese": " Tiếng Việt có nhiều thanh điệu khác nhau.",
    "Vietnamese, decomposed": " Tie\u0302\u0301ng Vie\u0323\u0302t",
    "Yoruba": " Báwo ni, ṣé dáadáa ni ẹ wà?",
    "Hawaiian": " ʻŌlelo Hawaiʻi",
    "Russian": " Введите, пожалуйста, номер телефона и нажмите решётку.",
    "Ukrainian": " Їжак з'їв ґудзик.",
    "Serbian": " Љубазни фењерџија чађавог лица.",
    "Kazakh": " Қазақстан Республикасы",
    "Mongolian": " Сайн байна уу, өнөөдөр ямар өдөр вэ?",
    "Greek": " Καλημέρα, πώς είστε σήμερα;",
    "Armenian": " Բարև ձեզ, ինչպե՞ս եք։",
    "Georgian": " გამარჯობა, როგორ ხართ?",
    "Hebrew": " שלום, מה שלומך היום?",
    "Hebrew, pointed": " שָׁלוֹם עֲלֵיכֶם",
    "Yiddish": " אַ גוטן טאָג",
    "Arabic": " السلام عليكم، كيف حالك اليوم؟",
    "Arabic, vocalised": " السَّلَامُ عَلَيْكُمْ",
    "Persian": " می‌خواهم به خانه بروم.",
    "Urdu": " آپ کیسے ہیں؟",
    "Sindhi": " توهان ڪيئن آهيو؟",
    "Amharic": " ሰላም፣ እንዴት ነህ?",
    "Hindi": " हिन्दी में बात करते हैं।",
    "Bengali": " আপনি কেমন আছেন?",
    "Assamese": " আপোনাৰ নাম কি?",
    "Punjabi": " ਤੁਸੀਂ ਕਿਵੇਂ ਹੋ?",
    "Gujarati": " તમે કેમ છો?",
    "Tamil": " நீங்கள் எப்படி இருக்கிறீர்கள்?",
    "Telugu": " మీరు ఎలా ఉన్నారు?",
    "Kannada": " ನೀವು ಹೇಗಿದ್ದೀರಿ?",
    "Malayalam": " സുഖമാണോ?",
    "Sinhala": " ඔබට කොහොමද?",
    "Thai": " สวัสดีครับ วันนี้อากาศดีมาก",
    "Lao": " ສະບາຍດີ, ເຈົ້າສະບາຍດີບໍ?",
    "Khmer": " សួស្តី តើអ្នកសុខសប្បាយទេ?",
    "Burmese": " မင်္ဂလာပါ၊ နေကောင်းလား။",
    "Tibetan": " བཀྲ་ཤིས་བདེ་ལེགས།",
    "Chinese, simplified": "今天天气很好，我们去公园吧。",
    "Chinese, traditional": "請輸入您的電話號碼。",
    "Japanese": "今日はテストです。ありがとうございます！",
    "Korean": " 안녕하세요, 오늘 날씨가 좋네요.",
}


def main() -> None:
    from utils.data.token_ranks import checksums, merges_checksum, merges_of

    ranks = {}
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    openai = tiktoken.Encoding("multilingual", pat_str=WORDS, mergeable_ranks=ranks, special_tokens={})
    ids = {name: {"text": text, "ids": openai.encode(text)} for name, text in TEXTS.items()}
    write(ROOT / "tests/openai_token_ids.json", ids)

    letters = letters_of_bytes()
    tokens = ["".join(letters[byte] for byte in token) for token in sorted(ranks, key=ranks.__getitem__) if token]
    write(ROOT / "utils/data/whisper_ranks.json",
          {"merges_sha256": merges_checksum(merges_of(tokens)), "blocks": checksums(tokens)})


def letters_of_bytes() -> dict[int, str]:
    """How tokenizer.json writes each byte: printable ones as themselves, the others from U+0100 on (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def write(path: Path, content: object) -> None:
    lines = json.dumps(content, ensure_ascii=False, indent=0).replace(",\n", ", ").replace("}, ", "},\n")
    path.write_text(f"{lines}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
