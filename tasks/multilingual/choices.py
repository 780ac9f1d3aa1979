"""Multiple choice in many languages: commonsense, reading, knowledge, grammar.

    xcopa  xstorycloze  xwinograd  belebele  global_mmlu  include  multiblimp
    okapi_hellaswag  okapi_arc  okapi_mmlu              each `<suite>.<code>`

The text of a task is described in `choice_records`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from t5.evaluation import metrics as t5_metrics

from mtmoe.data.sources.files import Record
from mtmoe.data.sources.pairs import TextExample
from mtmoe.data.sources.records import RecordSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.tasks.multilingual import choice_records
from mtmoe.tasks.multilingual.choice_records import Choice
from mtmoe.tasks.multilingual.suites import (
    WHERE_CHECKED,
    Variant,
    how_to_get,
    variants,
)


@dataclass(frozen=True)
class ChoiceSuite:
    """A suite of multiple choice in several languages.

    Attributes:
      name: first part of the tasks' names, and folder of the files.
      hub: the data set on the Hugging Face hub.
      licence: its licence.
      family: family of its tasks.
      languages: its languages.
      files: pattern of file names in the folder by split; `{code}` is the suite's own.
      fields: the fields it reads, for people.
      read: makes the choice of a record, None to leave the record out.
      note: for the card.
    """

    name: str
    hub: str
    licence: str
    family: str
    languages: tuple[Variant, ...]
    files: Mapping[str, str]
    fields: str
    read: Callable[[Record], Choice | None]
    note: str = ""


_OKAPI = (
    "ar bn ca da de es eu fr gu hi hr hu hy id it kn ml mr ne nl pt ro ru sk sr sv ta "
    "te uk vi"
)
_OKAPI_NOTE = (
    "Translated by ChatGPT (Lai et al. 2023). Records that lost an option or the right "
    "answer in translation are left out."
)
_OKAPI_FIELDS = "instruction, option_a ... option_d, answer"

SUITES = (
    ChoiceSuite(
        name="xcopa",
        hub="cambridgeltl/xcopa",
        licence="CC-BY-4.0",
        family="commonsense",
        languages=variants("et ht id it qu sw ta th tr vi zh"),
        files={"validation": "{code}/val*", "test": "{code}/test*"},
        fields="premise, choice1, choice2, question, label",
        read=choice_records.xcopa,
        note="Ponti et al. 2020. Parquet, or val.CODE.jsonl of the authors.",
    ),
    ChoiceSuite(
        name="xstorycloze",
        hub="juletxara/xstory_cloze",
        licence="CC-BY-SA-4.0",
        family="commonsense",
        languages=variants("ar en es eu hi id my ru sw te zh"),
        files={
            "train": "spring2016.val.{code}.tsv.split_20_80_train.tsv",
            "validation": "spring2016.val.{code}.tsv.split_20_80_eval.tsv",
        },
        fields="InputSentence1 ... InputSentence4, RandomFifthSentenceQuiz1, "
        "RandomFifthSentenceQuiz2, AnswerRightEnding",
        read=choice_records.xstorycloze,
        note="Lin et al. 2022. `validation` is what the suite calls eval and reports.",
    ),
    ChoiceSuite(
        name="xwinograd",
        hub="Muennighoff/xwinograd",
        licence="CC-BY-4.0",
        family="commonsense",
        languages=variants("en fr jp=ja pt ru zh"),
        files={"test": "test/{code}.jsonl"},
        fields="sentence with a gap _, option1, option2, answer (1 or 2)",
        read=choice_records.xwinograd,
        note="Tikhonov and Ryabinin 2021, Muennighoff et al. 2022.",
    ),
    ChoiceSuite(
        name="belebele",
        hub="facebook/belebele",
        licence="CC-BY-SA-4.0",
        family="reading_comprehension",
        languages=variants(
            "acm_Arab afr_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn ars_Arab "
            "ary_Arab arz_Arab asm_Beng azj_Latn bam_Latn ben_Beng ben_Latn bod_Tibt "
            "bul_Cyrl cat_Latn ceb_Latn ces_Latn ckb_Arab dan_Latn deu_Latn ell_Grek "
            "eng_Latn est_Latn eus_Latn fin_Latn fra_Latn fuv_Latn gaz_Latn grn_Latn "
            "guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva hin_Latn hrv_Latn hun_Latn "
            "hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan "
            "kac_Latn kan_Knda kat_Geor kaz_Cyrl kea_Latn khk_Cyrl khm_Khmr kin_Latn "
            "kir_Cyrl kor_Hang lao_Laoo lin_Latn lit_Latn lug_Latn luo_Latn lvs_Latn "
            "mal_Mlym mar_Deva mkd_Cyrl mlt_Latn mri_Latn mya_Mymr nld_Latn nob_Latn "
            "npi_Deva npi_Latn nso_Latn nya_Latn ory_Orya pan_Guru pbt_Arab pes_Arab "
            "plt_Latn pol_Latn por_Latn ron_Latn rus_Cyrl shn_Mymr sin_Latn sin_Sinh "
            "slk_Latn slv_Latn sna_Latn snd_Arab som_Latn sot_Latn spa_Latn srp_Cyrl "
            "ssw_Latn sun_Latn swe_Latn swh_Latn tam_Taml tel_Telu tgk_Cyrl tgl_Latn "
            "tha_Thai tir_Ethi tsn_Latn tso_Latn tur_Latn ukr_Cyrl urd_Arab urd_Latn "
            "uzn_Latn vie_Latn war_Latn wol_Latn xho_Latn yor_Latn zho_Hans zho_Hant "
            "zsm_Latn zul_Latn"
        ),
        files={"test": "data/{code}.jsonl"},
        fields="flores_passage, question, mc_answer1 ... mc_answer4, "
        "correct_answer_num",
        read=choice_records.belebele,
        note="Bandarkar et al. 2024. Passages are of FLORES-200: never train on its "
        "devtest and report this.",
    ),
    ChoiceSuite(
        name="global_mmlu",
        hub="CohereLabs/Global-MMLU",
        licence="Apache-2.0",
        family="closed_book_qa",
        languages=variants(
            "am ar bn cs de el en es fa fil fr ha he hi id ig it ja ko ky lt mg ms ne "
            "nl ny pl pt ro ru si sn so sr sv sw te tr uk vi yo zh"
        ),
        files={"validation": "{code}/dev*.parquet", "test": "{code}/test*.parquet"},
        fields="question, option_a ... option_d, answer (a letter)",
        read=choice_records.four_options,
        note="Singh et al. 2024; partly translated by machine.",
    ),
    ChoiceSuite(
        name="include",
        hub="CohereLabs/include-base-44",
        licence="Apache-2.0",
        family="closed_book_qa",
        languages=variants(
            "Albanian=sq, Arabic=ar, Armenian=hy, Azerbaijani=az, Basque=eu, "
            "Belarusian=be, Bengali=bn, Bulgarian=bg, Chinese=zh, Croatian=hr, "
            "Dutch=nl, Estonian=et, Finnish=fi, French=fr, Georgian=ka, German=de, "
            "Greek=el, Hebrew=iw, Hindi=hi, Hungarian=hu, Indonesian=id, Italian=it, "
            "Japanese=ja, Kazakh=kk, Korean=ko, Lithuanian=lt, Malay=ms, "
            "Malayalam=ml, Nepali=ne, North Macedonian=mk, Persian=fa, Polish=pl, "
            "Portuguese=pt, Russian=ru, Serbian=sr, Spanish=es, Tagalog=fil, "
            "Tamil=ta, Telugu=te, Turkish=tr, Ukrainian=uk, Urdu=ur, Uzbek=uz, "
            "Vietnamese=vi",
            separator=",",
        ),
        files={
            "validation": "{code}/validation*.parquet",
            "test": "{code}/test*.parquet",
        },
        fields="question, option_a ... option_d, answer (0 to 3)",
        read=choice_records.four_options,
        note="Romanou et al. 2024.",
    ),
    ChoiceSuite(
        name="okapi_hellaswag",
        hub="alexandrainst/m_hellaswag",
        licence="CC-BY-NC-4.0",
        family="commonsense",
        languages=variants(_OKAPI),
        files={"validation": "data/{code}/val*.jsonl"},
        fields="activity_label, ctx_a, ctx_b, endings, label",
        read=choice_records.okapi_hellaswag,
        note=_OKAPI_NOTE,
    ),
    ChoiceSuite(
        name="okapi_arc",
        hub="alexandrainst/m_arc",
        licence="CC-BY-NC-4.0",
        family="closed_book_qa",
        languages=variants(_OKAPI + " zh"),
        files={
            "train": "data/{code}/train*.jsonl",
            "validation": "data/{code}/val*.jsonl",
            "test": "data/{code}/test*.jsonl",
        },
        fields=_OKAPI_FIELDS + "; option_e if there is one",
        read=functools.partial(choice_records.okapi_questions, "abcde"),
        note=_OKAPI_NOTE,
    ),
    ChoiceSuite(
        name="okapi_mmlu",
        hub="alexandrainst/m_mmlu",
        licence="CC-BY-NC-4.0",
        family="closed_book_qa",
        languages=variants(_OKAPI + " en is nb zh"),
        files={
            "train": "data/{code}/train*.jsonl",
            "validation": "data/{code}/val*.jsonl",
            "test": "data/{code}/test*.jsonl",
        },
        fields=_OKAPI_FIELDS,
        read=functools.partial(choice_records.okapi_questions, "abcd"),
        note=_OKAPI_NOTE,
    ),
    ChoiceSuite(
        name="multiblimp",
        hub="jumelet/multiblimp",
        licence="that of each Universal Dependencies treebank",
        family="classification",
        languages=variants(
            "abk aln amh apu aqz arb azz bel ben bho bor bre bua bul cat ces chu "
            "cym dan deu egy ell eng est eus fao fas fin fra frm fro gla gle glg "
            "got grc guj hbo hbs heb hin hit hsb hun hye hyw isl ita kat kaz kir "
            "kmr koi kpv krl kxh lat lav lij lit mar mdf mkd myv nds nhi nld olo "
            "orv ota pcm pol por quc ron rus sah san slk slv sme sms spa sqi swe "
            "tam tpn ttc tur uig ukr urb urd uzb vep wbp wol xcl xnr xpg yrl"
        ),
        files={"test": "{code}/data.tsv"},
        fields="sen, wrong_sen",
        read=choice_records.multiblimp,
        note="Jumelet et al. 2025: minimal pairs of agreement. The suite compares "
        "likelihoods of the two sentences; here the model is asked.",
    ),
)
"""Every suite; one task for each of its codes."""


def _examples(suite: ChoiceSuite, record: Record) -> Iterable[TextExample]:
    choice = suite.read(record)
    return [] if choice is None else [choice_records.lettered(suite.name, choice)]


def _register(suite: ChoiceSuite, variant: Variant) -> str:
    files = {
        split: f"{suite.name}/{pattern.format(code=variant.own)}"
        for split, pattern in suite.files.items()
    }
    wanted = ", ".join(suite.files.values()).format(code=variant.own)
    return register_task(
        f"{suite.name}.{variant.name}",
        RecordSource(
            files,
            functools.partial(_examples, suite),
            how_to_get(suite.name, suite.hub, wanted, suite.fields),
            quoted=True,  # XStoryCloze's and MultiBLiMP's tables are
        ),
        TaskCard(
            family=suite.family,
            language=variant.language,
            metrics=("accuracy",),
            origin=f"hub {suite.hub}, {variant.own}",
            licence=suite.licence,
            labels="gold",
            verified="layout",
            note=f"{suite.note} {WHERE_CHECKED}",
        ),
        postprocess=choice_records.first_letter,
        metrics=[t5_metrics.accuracy],
    )


for _suite in SUITES:
    for _variant in _suite.languages:
        _register(_suite, _variant)
