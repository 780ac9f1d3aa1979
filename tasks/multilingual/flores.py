"""FLORES-200 (Costa-jussà et al. 2022): the same sentences in 204 languages.

    flores200.en.<code>, flores200.<code>.en    95 languages of mC4, both directions
    register_pair("swh_Latn", "fra_Latn")       any other pair: flores200.sw.fr

Read from the published archive, `$MTMOE_DATA/flores200/dev/swh_Latn.dev` and
`devtest/swh_Latn.devtest`, a sentence a line; or, if those are not there, from the hub
data set's config `all`, `$MTMOE_DATA/flores200/all/dev/*.parquet`, with the columns
`sentence_swh_Latn` and so on. `validation` is dev, `test` is devtest.

Scores are chrF++, and spBLEU if the configuration asks for it, since that needs a model
file: `flores_scores.with_spbleu = True`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

import gin
import seqio
import tensorflow as tf

from mtmoe.data.metrics.generation import chrf_plus_plus, spbleu
from mtmoe.data.sources.files import Record
from mtmoe.data.sources.pairs import PairSource, TextExample
from mtmoe.data.sources.records import RecordSource, data_directory
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.errors import CorpusError
from mtmoe.languages import LANGUAGES
from mtmoe.tasks.multilingual.suites import (
    WHERE_CHECKED,
    Variant,
    mc4_code,
    text_field,
    variants,
)

SUITE = "flores200"
PUBLISHED = {"validation": "dev", "test": "devtest"}
"""FLORES's own name of each split."""

LANGUAGES_OF_MC4: tuple[Variant, ...] = variants(
    "afr_Latn amh_Ethi arb_Arab azj_Latn bel_Cyrl bul_Cyrl ben_Beng cat_Latn ceb_Latn "
    "ces_Latn cym_Latn dan_Latn deu_Latn ell_Grek eng_Latn epo_Latn spa_Latn est_Latn "
    "eus_Latn pes_Arab fin_Latn tgl_Latn fra_Latn gle_Latn gla_Latn glg_Latn guj_Gujr "
    "hau_Latn hin_Deva hat_Latn hun_Latn hye_Armn ind_Latn ibo_Latn isl_Latn ita_Latn "
    "heb_Hebr jpn_Jpan jav_Latn kat_Geor kaz_Cyrl khm_Khmr kan_Knda kor_Hang kmr_Latn "
    "kir_Cyrl ltz_Latn lao_Laoo lit_Latn lvs_Latn plt_Latn mri_Latn mkd_Cyrl mal_Mlym "
    "khk_Cyrl mar_Deva zsm_Latn mlt_Latn mya_Mymr npi_Deva nld_Latn nob_Latn nya_Latn "
    "pan_Guru pol_Latn pbt_Arab por_Latn ron_Latn rus_Cyrl snd_Arab sin_Sinh slk_Latn "
    "slv_Latn smo_Latn sna_Latn som_Latn als_Latn srp_Cyrl sot_Latn sun_Latn swe_Latn "
    "swh_Latn tam_Taml tel_Telu tgk_Cyrl tha_Thai tur_Latn ukr_Cyrl urd_Arab uzn_Latn "
    "vie_Latn xho_Latn ydd_Hebr yor_Latn zho_Hans zul_Latn"
)
"""FLORES's code of each of mC4's languages that it has."""

_HOW_TO_GET = (
    "unpack flores200_dataset.tar.gz so that $MTMOE_DATA/flores200/ has dev/ and "
    "devtest/, or put the config `all` of the hub data set facebook/flores there as "
    "Parquet, all/dev/*.parquet and all/devtest/*.parquet, with columns sentence_CODE"
)

_MAIN = {variant.own: variant for variant in LANGUAGES_OF_MC4}
_NAMES = {entry.code: entry.name for entry in LANGUAGES}


@gin.configurable
def flores_scores(
    targets: Sequence[str], predictions: Sequence[str], with_spbleu: bool = False
) -> dict[str, float]:
    """Returns `chrf++` of the corpus, and `spbleu` if asked for.

    Args:
      targets: reference translations.
      predictions: translations.
      with_spbleu: whether to count spBLEU too.

    Raises:
      CorpusError: spBLEU is asked for, and its model is not on this machine.
    """
    scores = chrf_plus_plus(targets, predictions)
    if with_spbleu:
        scores |= spbleu(targets, predictions)
    return scores


class FloresSource(PairSource):
    """Translation from one language of FLORES-200 into another, read at first use.

    Attributes:
      source: FLORES's code of the inputs' language.
      target: that of the targets' language.
    """

    def __init__(self, source: str, target: str):
        """Makes the source; reads nothing.

        Args:
          source: FLORES's code of the inputs' language.
          target: that of the targets' language.
        """
        super().__init__(self._examples, tuple(PUBLISHED))
        self.source = source
        self.target = target
        self._prompt = f"translate {_name(source)} to {_name(target)}: "
        self._tables = RecordSource(
            {
                split: f"{SUITE}/all/{published}/*.parquet"
                for split, published in PUBLISHED.items()
            },
            self._example_of_record,
            _HOW_TO_GET,
        )
        self._read = functools.lru_cache(maxsize=None)(self._read_split)

    def _examples(self, split: str) -> Sequence[TextExample]:
        return self._read(split, data_directory())

    def _read_split(self, split: str, directory: str) -> Sequence[TextExample]:
        published = PUBLISHED[split]
        folder = os.path.join(directory, SUITE, published)
        if not tf.io.gfile.isdir(folder):
            return self._tables.examples(split)
        paths = [
            os.path.join(folder, f"{code}.{published}")
            for code in (self.source, self.target)
        ]
        inputs, targets = map(_sentences, paths)
        if len(inputs) != len(targets):
            raise CorpusError(
                f"{paths[0]} has {len(inputs)} lines, {paths[1]} {len(targets)}: they "
                "are not translations line by line"
            )
        return [self._example(*pair) for pair in zip(inputs, targets, strict=True)]

    def _example_of_record(self, record: Record) -> TextExample:
        return self._example(
            text_field(record, f"sentence_{self.source}"),
            text_field(record, f"sentence_{self.target}"),
        )

    def _example(self, sentence: str, translation: str) -> TextExample:
        return {"inputs": self._prompt + sentence, "targets": translation}


def register_pair(source: str, target: str) -> str:
    """Registers the translation between any two languages of FLORES-200.

    Args:
      source: FLORES's code of the inputs' language, e.g. `swh_Latn`, or mC4's.
      target: that of the targets' language.

    Returns:
      The task's name, e.g. `flores200.sw.fr`; registered only once.
    """
    pair = [_flores_code(code) for code in (source, target)]
    name = f"{SUITE}.{_task_code(pair[0])}.{_task_code(pair[1])}"
    if name in seqio.TaskRegistry.names():
        return name
    return register_task(
        name,
        FloresSource(*pair),
        TaskCard(
            family="translation",
            language=_language_beside_english(*pair),
            metrics=("chrf++", "spbleu"),
            origin=f"FLORES-200, {pair[0]} to {pair[1]}",
            licence="CC-BY-SA-4.0",
            labels="gold",
            verified="layout",
            note="spBLEU on demand: flores_scores.with_spbleu = True. Sentences of the "
            f"test split are in Belebele's passages. {WHERE_CHECKED}",
        ),
        metrics=[flores_scores],
    )


def _sentences(path: str) -> list[str]:
    if not tf.io.gfile.exists(path):
        raise CorpusError(f"no file {path}; {_HOW_TO_GET}")
    sentences = []
    with tf.io.gfile.GFile(path, "rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                sentence = line.decode("utf-8").strip()
            except UnicodeDecodeError as error:
                raise CorpusError(f"{path}:{number}: not UTF-8: {error}") from None
            if not sentence:
                raise CorpusError(f"{path}:{number}: no sentence, the line is empty")
            sentences.append(sentence)
    return sentences


def _flores_code(code: str) -> str:
    """Returns FLORES's code of mC4's; any other code is FLORES's own."""
    mc4 = mc4_code(code)
    for variant in LANGUAGES_OF_MC4:
        if code == mc4 == variant.language:
            return variant.own
    return code


def _task_code(code: str) -> str:
    return _MAIN[code].name if code in _MAIN else code


def _language_beside_english(source: str, target: str) -> str:
    if "eng_Latn" not in (source, target):
        return ""
    return mc4_code(target if source == "eng_Latn" else source)


def _name(code: str) -> str:
    """Returns the English name, or the code itself beyond mC4's main variants."""
    return _NAMES[_MAIN[code].language] if code in _MAIN else code


for _variant in LANGUAGES_OF_MC4:
    if _variant.language != "en":
        register_pair("eng_Latn", _variant.own)
        register_pair(_variant.own, "eng_Latn")
