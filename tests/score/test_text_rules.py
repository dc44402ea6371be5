"""The rules of the normaliser basic, with words of every writing system that Whisper and FLEURS use.

What is right was written down by hand: how a reader of the language takes the words.
"""

from __future__ import annotations

import unicodedata

import pytest
import regex

from utils import ROOT
from utils.data.languages import all_codes, is_spaceless, language_name
from utils.score.metrics import ScoringOptions, TextPair, measure, normalize
from utils.score.normalization import NORMALIZERS, get_normalizer, normalizer_signature
from utils.score.text_rules import RULES_VERSION, rules_for

# Script of Unicode, languages (Whisper's codes; others that FLEURS has are in brackets), a text, and what is scored.
WRITING_SYSTEMS = [
    ("Latin", "af br bs ca cs cy da de en es et eu fi fo fr gl ha haw hr ht hu id is it jw la lb ln lt lv mg mi ms mt "
     "nl nn no oc pl pt ro sk sl sn so sq su sv sw tk tl tr uz vi yo az (ast ceb ff ga ig kam kea lg luo nso ny om umb "
     "wo xh zu)", "Straße, ÇA VA?", "straße ça va"),
    ("Greek", "el", "Καλημέρα, ΚΌΣΜΕ!", "καλημέρα κόσμε"),
    ("Cyrillic", "ba be bg kk mk mn ru sr tg tt uk (ky)", "Ещё раз, Қазақстан.", "ещё раз қазақстан"),
    ("Armenian", "hy", "Բարև Ձեզ, աշխարհ։", "բարեւ ձեզ աշխարհ"),  # NFKC parts the ligature և
    ("Georgian", "ka", "გამარჯობა, მსოფლიო! ᲗᲑᲘᲚᲘᲡᲘ", "გამარჯობა მსოფლიო თბილისი"),
    ("Hebrew", "he yi", "שלום, עולם.", "שלום עולם"),
    ("Arabic", "ar fa ps sd ur (ckb)", "مرحبا، يا عالم؟", "مرحبا يا عالم"),
    ("Devanagari", "hi mr ne sa", "हिन्दी में बात करते हैं।", "हिन्दी में बात करते हैं"),
    ("Bengali", "bn as", "আমি বাংলায় কথা বলি।", "আমি বাংলায় কথা বলি"),
    ("Gurmukhi", "pa", "ਸਤਿ ਸ੍ਰੀ ਅਕਾਲ, ਪੰਜਾਬੀ।", "ਸਤਿ ਸ੍ਰੀ ਅਕਾਲ ਪੰਜਾਬੀ"),
    ("Gujarati", "gu", "હું ગુજરાતી બોલું છું.", "હું ગુજરાતી બોલું છું"),
    ("Oriya", "(or)", "ମୁଁ ଓଡ଼ିଆ କହେ।", "ମୁଁ ଓଡ଼ିଆ କହେ"),
    ("Tamil", "ta", "நான் தமிழ் பேசுகிறேன்.", "நான் தமிழ் பேசுகிறேன்"),
    ("Telugu", "te", "నేను తెలుగు మాట్లాడతాను.", "నేను తెలుగు మాట్లాడతాను"),
    ("Kannada", "kn", "ನಾನು ಕನ್ನಡ ಮಾತನಾಡುತ್ತೇನೆ.", "ನಾನು ಕನ್ನಡ ಮಾತನಾಡುತ್ತೇನೆ"),
    ("Malayalam", "ml", "ഞാൻ മലയാളം സംസാരിക്കുന്നു.", "ഞാൻ മലയാളം സംസാരിക്കുന്നു"),
    ("Sinhala", "si", "ශ්‍රී ලංකාව, සිංහල.", "ශ්රී ලංකාව සිංහල"),
    ("Thai", "th", "ขอน้ำหน่อยค่ะ!", "ขอน้ำหน่อยค่ะ"),
    ("Lao", "lo", "ຂໍນ້ຳແດ່, ສະບາຍດີ.", "ຂໍນ້ຳແດ່ ສະບາຍດີ"),
    ("Tibetan", "bo", "བོད་སྐད་ཤོད།", "བོད སྐད ཤོད"),
    ("Myanmar", "my", "မြန်မာစကားပြောသည်။", "မြန်မာစကားပြောသည်"),
    ("Khmer", "km", "ខ្ញុំនិយាយភាសាខ្មែរ។", "ខ្ញុំនិយាយភាសាខ្មែរ"),
    ("Ethiopic", "am", "ሰላም፡ዓለም። እንዴት ነህ?", "ሰላም ዓለም እንዴት ነህ"),
    ("Hangul", "ko", "안녕하세요, 세계!", "안녕하세요 세계"),
    ("Han", "zh yue", "请输入密码，謝謝。", "请输入密码 謝謝"),
    ("Hiragana", "ja", "「おはよう」、ございます。", "おはよう ございます"),
    ("Katakana", "ja", "ｺﾝﾋﾟｭｰﾀｰ・ゲーム", "コンピューター ゲーム"),
]


def basic(text: str, language: str) -> str:
    return get_normalizer("basic", language=language)(text)


def errors(language: str, reference: str, hypothesis: str, metric: str = "auto") -> tuple[int, int]:
    """Errors and length of a reference, as stage 4 counts them."""
    utterance = TextPair("u", language, "transcribe", "u", reference, hypothesis)
    row = measure([utterance], ScoringOptions("basic", metric))[0].statistics[0].tolist()
    return sum(row[:3]), row[3]


def test_every_language_of_whisper_has_a_writing_system():
    named = " ".join(codes for _, codes, _, _ in WRITING_SYSTEMS)
    assert all_codes() == {*regex.sub(r"\([^)]*\)", "", named).split()}
    assert len({script for script, *_ in WRITING_SYSTEMS}) >= 25


@pytest.mark.parametrize(("script", "codes", "written", "scored"), WRITING_SYSTEMS, ids=lambda value: value[:9])
def test_words_keep_their_letters(script, codes, written, scored):
    assert regex.search(rf"\p{{Script={script}}}", scored)
    language = codes.split()[0].strip("()")
    forms = [unicodedata.normalize(form, written) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    found = {basic(form, language) for form in [written, *forms]}
    assert found == {unicodedata.normalize("NFC", scored)}
    assert basic(found.pop(), language) == unicodedata.normalize("NFC", scored)  # once is enough


@pytest.mark.parametrize(("language", "reference", "other"), [
    ("hi", "मेरी किताब की कीमत", "मेरा कताब का कोमत"), ("bn", "কি", "কে"), ("as", "কি", "কে"), ("ta", "கல்", "கால்"),
    ("te", "పిల్ల", "పల్ల"), ("kn", "ಕಿ", "ಕೆ"), ("ml", "കടി", "കടു"), ("si", "ගම", "ගිම"), ("gu", "કિ", "કે"),
    ("pa", "ਕੀ", "ਕੇ"), ("mr", "की", "के"), ("ne", "के", "को"), ("sa", "रामः", "रामं"), ("th", "ข้าว", "ขาว"),
    ("lo", "ໄກ່", "ໄກ"), ("km", "កី", "កា"), ("my", "ကို", "ကာ"), ("bo", "བོད", "བུད"), ("yo", "ọ̀kọ́", "ọkọ"),
    ("vi", "má", "mạ"), ("ja", "か", "が"), ("ko", "가", "갸"), ("fr", "sur", "sûr"), ("fr", "ou", "où"),
    ("ru", "все", "всё"), ("yi", "פאַר", "פאָר"), ("mi", "keke", "kēkē")])
def test_other_marks_are_other_words(language, reference, other):
    wrong, length = errors(language, reference, other)
    assert wrong > 0
    if not is_spaceless(language):
        assert wrong == length == len(reference.split())


@pytest.mark.parametrize(("language", "words"), [
    ("hi", "हिन्दी में बात करते हैं"), ("ta", "நான் தமிழ் பேசுகிறேன்"), ("am", "ሰላም፡ዓለም"), ("yo", "Ọjọ́ àárọ̀"),
    ("pa", "ਸਤਿ ਸ੍ਰੀ ਅਕਾਲ")])
def test_a_word_is_one_word(language, words):
    count = len(words.replace("፡", " ").split())
    assert errors(language, words, unicodedata.normalize("NFD", words)) == (0, count)


@pytest.mark.parametrize(("language", "same"), [
    ("tr", ["İstanbul", "istanbul", "İSTANBUL", "I\u0307stanbul", "i\u0307stanbul"]),
    ("tr", ["ılık ışık", "ILIK IŞIK", "Ilık Işık"]), ("az", ["İçərişəhər", "içərişəhər"]), ("az", ["QIZIL", "qızıl"]),
    ("en", ["İstanbul", "istanbul"]),
    ("ar", ["الْكِتَابُ", "الكتاب", "ٱلْكِتَابُ", "الكـــتاب"]), ("ar", ["مُحَمَّدٌ", "محمد"]),
    ("ur", ["اُردُو", "اردو"]), ("ur", ["ك", "ک"]), ("ps", ["پَښتو", "پښتو"]), ("sd", ["سِنڌي", "سنڌي"]),
    ("fa", ["می‌روم", "می روم", "میروم", "مي‌روم"]), ("fa", ["کتاب‌ها", "کتاب ها", "كتابها"]), ("fa", ["خانهٔ", "خانۀ"]),
    ("he", ["שָׁלוֹם", "שלום", "שׁלום"]), ("he", ["צה״ל", 'צה"ל', "צה”ל"]), ("he", ["צ׳יפס", "צ'יפס"]),
    ("yi", ["ייִדיש", "ײִדיש"]), ("yi", ["װאָס", "וואָס"]),
    ("uk", ["п’ять", "п'ять", "пʼять"]), ("be", ["сям’я", "сям'я"]),
    ("uz", ["oʻzbek togʻ", "o'zbek tog'", "o‘zbek tog‘"]),
    ("haw", ["Hawaiʻi ʻāina", "hawai'i 'āina"]),
    ("ca", ["col·legi", "coŀlegi", "col•legi"]), ("br", ["c'hoar", "c’hoar"]),
    ("ru", ["за́мок", "замок"]), ("ro", ["ştiinţă", "știință"]), ("la", ["Rōma aeterna", "roma aeterna"]),
    ("ml", ["അവന്‍", "അവൻ"]), ("bn", ["হঠাত্‍", "হঠাৎ"]), ("bn", ["য়", "য়"]), ("si", ["ශ්‍රී", "ශ්රී"]),
    ("kn", ["ರ‍್ಯ", "ರ್ಯ"]), ("th", ["น้ำ", "นํ้า", "น้ํา"]), ("lo", ["ນ້ຳ", "ນໍ້າ"]), ("hi", ["५ बजे", "5 बजे"]),
    ("nl", ["ĳs", "ijs"]), ("hr", ["ǆep", "džep"]), ("ja", ["ｶﾞ", "ガ"]), ("ko", ["한국", "한국"]),
    ("vi", ["Tiếng Việt", unicodedata.normalize("NFD", "tiếng việt")]), ("de", ["Donau\u00addampf", "donaudampf"]),
    ("en", ["zero\u200bwidth", "zero width"]), ("en", ["\ufeffhello\u200e", "hello"]), ("en", ["ok 👍🏽️", "ok"]),
])
def test_what_readers_take_for_the_same_is_the_same(language, same):
    assert len({basic(text, language) for text in same}) == 1
    assert errors(language, same[0], same[-1])[0] == 0


@pytest.mark.parametrize(("language", "reference", "hypothesis", "length"), [
    ("ja", "今日は いい 天気です", "今日はいい天気です", 9), ("th", "สวัสดี ครับ", "สวัสดีครับ", 10),
    ("zh", "请 输入 密码", "请输入密码", 5),
    ("yue", "唔 該", "唔該", 2), ("lo", "ສະບາຍ ດີ", "ສະບາຍດີ", 7), ("km", "ភាសា\u200bខ្មែរ", "ភាសាខ្មែរ", 9),
    ("my", "မြန်မာ စာ", "မြန်မာစာ", 8), ("bo", "བོད་ཡིག", "བོད ཡིག", 6)])
def test_spaces_do_not_count_where_none_are_written(language, reference, hypothesis, length):
    assert errors(language, reference, hypothesis) == (0, length)


def test_words_that_unicode_calls_punctuation_stay():
    assert basic("သူ၏ အိမ်၌။", "my") == "သူ၏ အိမ်၌"
    assert errors("my", "အိမ် ၌", "အိမ် ၏", "wer") == (1, 2)


def test_signs_inside_words_stay_only_where_they_are_spelling():
    assert basic("'Ng'ombe' 'huyo'", "sw") == "ng'ombe huyo"
    assert basic("L’été d'Anne", "fr") == "l été d anne"
    assert basic("a · b", "ca") == "a b"
    assert basic("ŉ man", "af") == "n man"


def test_marks_without_a_letter_go():
    assert basic("caf´e \u0301 x\u034f\u0301", "fr") == "caf e x\u0301"
    assert basic("... – (bruit) [noise] <unk> é", "fr") == "é"
    assert basic("（笑）はい ⑴", "ja") == "はい 1"


def test_a_text_of_signs_has_no_words():
    for name in NORMALIZERS:
        pairs = [TextPair("u", "en", "transcribe", "u", "wait ... what … - ?", "wait what")]
        row = measure(pairs, ScoringOptions(name, "wer"))[0].statistics[0].tolist()
        assert row == [0, 0, 0, 2], name


def test_whisper_en_knows_both_apostrophes_and_ellipses():
    normalize_en = get_normalizer("whisper-en")
    assert normalize_en("I don’t… know...") == normalize_en("I don't know") == "i do not know"
    assert normalize_en("It costs $5.50, 20%.") == "it costs $5.50 20%"


@pytest.mark.parametrize("written", [text for _, _, text, _ in WRITING_SYSTEMS] + [
    "İstanbul", "می‌روم", "п’ять", "Hello... (laughs) [noise] <unk> world", "5 ½ ² %", "शब्द५"])
def test_whisper_basic_is_openais(written):
    theirs = pytest.importorskip("whisper_normalizer.basic").BasicTextNormalizer()
    assert get_normalizer("whisper-basic")(written) == " ".join(theirs(written).split())
    assert get_normalizer("whisper-basic", language="tr")(written) == get_normalizer("whisper-basic")(written)


def test_whisper_basic_is_for_every_language_and_counts_as_published():
    texts = [TextPair("u", language, "transcribe", "u", "हिन्दी में बात करते हैं", "") for language in ("hi", "en", "zh")]
    normalized, names = normalize(texts, ScoringOptions("whisper-basic"))
    assert names == ["whisper-basic"] * 3
    assert [len(pair.reference.split()) for pair in normalized] == [8, 8, 8]
    assert normalize(texts, ScoringOptions("whisper-basic", digits="spell"))[1] == ["whisper-basic+spell"] * 3


def test_signatures_name_the_rules():
    assert RULES_VERSION == 2  # of the rules that the tests above describe; a change of them is a new version
    assert normalizer_signature("none", "fr") is None
    assert normalizer_signature("whisper-basic+spell", "fr") == "rules:openai"
    assert normalizer_signature("basic", "fr") == normalizer_signature("whisper-en", "en") == "rules:2"
    assert normalizer_signature("basic+spell", "tr") == "rules:2+turkic-case"
    assert normalizer_signature("basic", "ar") == "rules:2+harakat+wasla+tatweel"
    assert all(normalizer_signature(name, "zh") for name in NORMALIZERS if name != "none")


def test_the_documentation_names_every_rule_and_its_languages():
    page = (ROOT / "doc/scoring.md").read_text("utf-8")
    rows = dict(regex.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", page, regex.MULTILINE))
    documented = {name: names for cell, names in rows.items() for name in regex.findall("`([^`]+)`", cell)}
    languages_of: dict[str, set[str]] = {}
    for code in all_codes():
        for rule in rules_for(code):
            languages_of.setdefault(rule.name, set()).add(language_name(code).capitalize())
    for name, languages in languages_of.items():
        said = documented[name]
        assert said.startswith("all") or {*said.split(", ")} == languages, name


def test_rules_are_for_languages_that_whisper_knows():
    codes = all_codes()
    for code in codes:
        assert all(rule.languages is None or rule.languages <= codes for rule in rules_for(code))
