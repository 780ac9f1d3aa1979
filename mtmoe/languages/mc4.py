"""mC4's 107 language codes: one row for each, and the names it goes by.

mC4 (Xue et al. 2021, "mT5", table 6) labels text with CLD3 codes: 101 languages and
six romanised variants. Packages, data sets and people write the same languages in
other ways (`iw` is `he`, `no` is `nb`, `fil` is `tl`, `ku` is `kmr` ...).

`family` is the branch for Indo-European languages (Germanic, Slavic, Indo-Aryan ...)
and the family for all others; `script` is the ISO 15924 code of the text mC4 files
under the code. Its Chinese is in both Han scripts, which CLD3 does not tell apart: so
`zh-Hant` is `zh`.
"""

from __future__ import annotations

from mtmoe.languages.record import Language, normalized

# code | name | script | family | other names of the language. Each name is also known
# with the script behind it (`deu` gives `deu_Latn`, the FLORES and gflanguages style).
_TABLE = """
af       | Afrikaans        | Latn | Germanic       | afr
am       | Amharic          | Ethi | Afro-Asiatic   | amh
ar       | Arabic           | Arab | Afro-Asiatic   | ara arb
az       | Azerbaijani      | Latn | Turkic         | aze azj
be       | Belarusian       | Cyrl | Slavic         | bel
bg       | Bulgarian        | Cyrl | Slavic         | bul
bg-Latn  | Bulgarian (Latin)| Latn | Slavic         | bul
bn       | Bengali          | Beng | Indo-Aryan     | ben
ca       | Catalan          | Latn | Romance        | cat
ceb      | Cebuano          | Latn | Austronesian   |
co       | Corsican         | Latn | Romance        | cos
cs       | Czech            | Latn | Slavic         | ces cze
cy       | Welsh            | Latn | Celtic         | cym wel
da       | Danish           | Latn | Germanic       | dan
de       | German           | Latn | Germanic       | deu ger deu-1996 de-DE
el       | Greek            | Grek | Hellenic       | ell gre ell-monotonic
el-Latn  | Greek (Latin)    | Latn | Hellenic       | ell
en       | English          | Latn | Germanic       | eng en-US en-GB
eo       | Esperanto        | Latn | Constructed    | epo
es       | Spanish          | Latn | Romance        | spa es-ES
et       | Estonian         | Latn | Uralic         | est ekk
eu       | Basque           | Latn | Isolate        | eus baq
fa       | Persian          | Arab | Iranian        | fas per pes pes-1
fi       | Finnish          | Latn | Uralic         | fin
fil      | Filipino         | Latn | Austronesian   | tl tgl
fr       | French           | Latn | Romance        | fra fre fr-FR
fy       | West Frisian     | Latn | Germanic       | fry
ga       | Irish            | Latn | Celtic         | gle
gd       | Scottish Gaelic  | Latn | Celtic         | gla
gl       | Galician         | Latn | Romance        | glg
gu       | Gujarati         | Gujr | Indo-Aryan     | guj
ha       | Hausa            | Latn | Afro-Asiatic   | hau hau-NG
haw      | Hawaiian         | Latn | Austronesian   |
hi       | Hindi            | Deva | Indo-Aryan     | hin
hi-Latn  | Hindi (Latin)    | Latn | Indo-Aryan     | hin
hmn      | Hmong            | Latn | Hmong-Mien     | blu hnj mww
ht       | Haitian Creole   | Latn | French creole  | hat hat-kreyol
hu       | Hungarian        | Latn | Uralic         | hun
hy       | Armenian         | Armn | Armenian       | hye arm
id       | Indonesian       | Latn | Austronesian   | ind in
ig       | Igbo             | Latn | Niger-Congo    | ibo
is       | Icelandic        | Latn | Germanic       | isl ice
it       | Italian          | Latn | Romance        | ita it-IT
iw       | Hebrew           | Hebr | Afro-Asiatic   | he heb
ja       | Japanese         | Jpan | Japonic        | jpn ja-JP
ja-Latn  | Japanese (Latin) | Latn | Japonic        | jpn
jv       | Javanese         | Latn | Austronesian   | jw jav
ka       | Georgian         | Geor | Kartvelian     | kat geo
kk       | Kazakh           | Cyrl | Turkic         | kaz
km       | Khmer            | Khmr | Austroasiatic  | khm
kn       | Kannada          | Knda | Dravidian      | kan
ko       | Korean           | Kore | Koreanic       | kor ko-KR kor-Hang
ku       | Kurdish          | Latn | Iranian        | kur kmr
ky       | Kyrgyz           | Cyrl | Turkic         | kir
la       | Latin            | Latn | Italic         | lat
lb       | Luxembourgish    | Latn | Germanic       | ltz
lo       | Lao              | Laoo | Kra-Dai        | lao
lt       | Lithuanian       | Latn | Baltic         | lit
lv       | Latvian          | Latn | Baltic         | lav lvs
mg       | Malagasy         | Latn | Austronesian   | mlg plt
mi       | Maori            | Latn | Austronesian   | mri mao
mk       | Macedonian       | Cyrl | Slavic         | mkd mac
ml       | Malayalam        | Mlym | Dravidian      | mal
mn       | Mongolian        | Cyrl | Mongolic       | mon khk
mr       | Marathi          | Deva | Indo-Aryan     | mar
ms       | Malay            | Latn | Austronesian   | msa may zlm zsm mly
mt       | Maltese          | Latn | Afro-Asiatic   | mlt
my       | Burmese          | Mymr | Sino-Tibetan   | mya bur
ne       | Nepali           | Deva | Indo-Aryan     | nep npi
nl       | Dutch            | Latn | Germanic       | nld dut
no       | Norwegian        | Latn | Germanic       | nor nb nob nb-NO
ny       | Chichewa         | Latn | Niger-Congo    | nya nya-chechewa
pa       | Punjabi          | Guru | Indo-Aryan     | pan
pl       | Polish           | Latn | Slavic         | pol
ps       | Pashto           | Arab | Iranian        | pus pbt pbu
pt       | Portuguese       | Latn | Romance        | por pt-BR pt-PT por-BR por-PT
ro       | Romanian         | Latn | Romance        | ron rum mo ron-2006
ru       | Russian          | Cyrl | Slavic         | rus ru-RU
ru-Latn  | Russian (Latin)  | Latn | Slavic         | rus
sd       | Sindhi           | Arab | Indo-Aryan     | snd
si       | Sinhala          | Sinh | Indo-Aryan     | sin
sk       | Slovak           | Latn | Slavic         | slk slo
sl       | Slovenian        | Latn | Slavic         | slv
sm       | Samoan           | Latn | Austronesian   | smo
sn       | Shona            | Latn | Niger-Congo    | sna
so       | Somali           | Latn | Afro-Asiatic   | som
sq       | Albanian         | Latn | Albanian       | sqi alb als
sr       | Serbian          | Cyrl | Slavic         | srp
st       | Sotho            | Latn | Niger-Congo    | sot
su       | Sundanese        | Latn | Austronesian   | sun
sv       | Swedish          | Latn | Germanic       | swe
sw       | Swahili          | Latn | Niger-Congo    | swa swh
ta       | Tamil            | Taml | Dravidian      | tam
te       | Telugu           | Telu | Dravidian      | tel
tg       | Tajik            | Cyrl | Iranian        | tgk
th       | Thai             | Thai | Kra-Dai        | tha
tr       | Turkish          | Latn | Turkic         | tur
uk       | Ukrainian        | Cyrl | Slavic         | ukr
ur       | Urdu             | Arab | Indo-Aryan     | urd
uz       | Uzbek            | Latn | Turkic         | uzb uzn
vi       | Vietnamese       | Latn | Austroasiatic  | vie
xh       | Xhosa            | Latn | Niger-Congo    | xho
yi       | Yiddish          | Hebr | Germanic       | yid ydd ji
yo       | Yoruba           | Latn | Niger-Congo    | yor
zh       | Chinese          | Hans | Sino-Tibetan   | zho chi cmn zh-CN zh-TW zh-HK \
zh-Hant zho-Hant cmn-Hant
zh-Latn  | Chinese (Latin)  | Latn | Sino-Tibetan   | zho cmn
zu       | Zulu             | Latn | Niger-Congo    | zul
"""


def _parse_row(row: str) -> Language:
    code, name, script, family, others = (cell.strip() for cell in row.split("|"))
    # A romanised variant shares its bare names with the language: only the names
    # that carry the script are its own.
    bare = [] if code.endswith("-Latn") else [code, *others.split()]
    named = bare or [code.removesuffix("-Latn"), *others.split()]
    with_script = [f"{other}-{script}" for other in named if "-" not in other]
    aliases = dict.fromkeys([*bare, *with_script])
    aliases.pop(code, None)
    return Language(code, name, script, family, tuple(aliases))


def _index(languages: tuple[Language, ...]) -> dict[str, Language]:
    index: dict[str, Language] = {}
    for entry in languages:
        for name in (entry.code, *entry.aliases):
            other = index.setdefault(normalized(name), entry)
            if other is not entry:
                raise ValueError(f"{name!r} means both {other.code} and {entry.code}")
    return index


LANGUAGES: tuple[Language, ...] = tuple(
    _parse_row(row) for row in _TABLE.strip().splitlines()
)
"""All 107 codes of mC4, in order of code."""

MC4_LANGUAGES: tuple[str, ...] = tuple(
    entry.code for entry in LANGUAGES if not entry.code.endswith("-Latn")
)
"""The codes of mC4's 101 languages, without the six romanised variants."""

BY_NAME: dict[str, Language] = _index(LANGUAGES)
"""mC4's languages by every name of theirs, as `normalized` writes it."""
