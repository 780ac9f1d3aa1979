"""Tags of words, from TFDS: parts of speech and named entities.

    xtreme_pos.<code>                    33 languages of XTREME
    universal_dependencies.<treebank>    218 treebanks of Universal Dependencies 2.10
    conll2002.es, conll2002.nl           named entities

    pos: The river rose .      ->   DET NOUN VERB PUNCT
    tag: Ana vive en Oslo .    ->   PER: Ana $$ LOC: Oslo

Words are those of the treebank, with `_` for white space inside one (Vietnamese);
the parts of a contraction stand for it. The second form is that of mT5's WikiANN tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import seqio
import tensorflow as tf

from mtmoe.data.metrics.spans import Span, format_spans, span_f1
from mtmoe.data.metrics.tags import tag_f1
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.tasks.multilingual.suites import Variant, mc4_code, variants

UPOS = (
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X _"
).split()
"""Universal parts of speech in TFDS's order; the last is on what is no word."""

NER_TAGS = "O B-PER I-PER B-ORG I-ORG B-LOC I-LOC B-MISC I-MISC".split()
"""Tags of CoNLL-2002 in TFDS's order."""

XTREME = variants(
    "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th "
    "tl tr ur vi yo zh"
)
"""Languages of XTREME's parts of speech."""

# TFDS's table of languages has these two the wrong way round: the config of the one
# reads the treebanks of the other.
XTREME_CONFIGS = {"ta": "tl", "tl": "ta"}
"""TFDS's code of a language where it is not the suite's."""

TREEBANKS = {
    ("train", "validation", "test"): (
        "af_afribooms ar_nyuad ar_padt be_hse bg_btb ca_ancora cop_scriptorium "
        "cs_cac cs_cltt cs_fictree cs_pdt cu_proiel da_ddt de_gsd de_hdt el_gdt "
        "en_atis en_esl en_ewt en_gum en_gumreddit en_lines en_partut es_ancora "
        "es_gsd et_edt et_ewt eu_bdt fa_perdt fa_seraji fi_ftb fi_tdt fo_farpahc "
        "fr_ftb fr_gsd fr_partut fr_rhapsodie fr_sequoia fro_srcmf ga_idt gd_arcosg "
        "gl_ctg got_proiel grc_perseus grc_proiel hbo_ptnk he_htb he_iahltwiki "
        "hi_hdtb hr_set hu_szeged hy_armtdp id_gsd is_icepahc is_modern it_isdt "
        "it_markit it_partut it_postwita it_twittiro it_vit ja_bccwj ja_bccwjluw "
        "ja_gsd ja_gsdluw ko_gsd ko_kaist la_ittb la_llct la_proiel la_udante "
        "lt_alksnis lt_hse lv_lvtb lzh_kyoto mr_ufal mt_mudt nl_alpino "
        "nl_lassysmall no_bokmaal no_nynorsk no_nynorsklia orv_birchbark orv_torot "
        "pcm_nsc pl_lfg pl_pdb pt_bosque pt_gsd qhe_hiencs qtd_sagt ro_nonstandard "
        "ro_rrt ro_simonero ru_gsd ru_syntagrus ru_taiga sk_snk sl_ssj sr_set "
        "sv_lines sv_talbanken swl_sslc ta_ttb te_mtg tr_atis tr_boun tr_framenet "
        "tr_imst tr_kenet tr_penn tr_tourism ug_udt uk_iu ur_udtb vi_vtb wo_wtb "
        "zh_gsd zh_gsdsimp"
    ),
    ("test",): (
        "aii_as ajp_madar akk_pisandub akk_riao am_att apu_ufpa aqz_tudet ar_pud "
        "arr_tudet bej_nsc bho_bhtb bm_crb bn_bru br_keb ceb_gja ckt_hse cs_pud "
        "de_lit de_pud en_pronouns en_pud es_pud ess_sli fi_ood fi_pud fo_oft "
        "fr_fqb fr_pud ga_twittirish gn_oldtudet gsw_uzh gub_tudet gun_dooley "
        "gun_thomas gv_cadhan hi_pud id_pud is_pud it_pud it_valico ja_modern "
        "ja_pud ja_pudluw jv_csui kfm_aha ko_pud koi_uh kpv_ikdp kpv_lattice "
        "krl_kkpp mdf_jr myu_tudet myv_jr nds_lsdc nyq_aha otk_tonqq pl_pud pt_pud "
        "qfn_fame quc_iu ro_art ru_pud sa_ufal sah_yktdt sjo_xdt sms_giellagas "
        "soj_aha sq_tsa sv_pud ta_mwtt th_pud tl_trg tl_ugnayan tpn_tudet tr_gb "
        "tr_pud urb_tudet wbp_ufal xnr_kdtb yo_ytb yue_hk zh_cfl zh_hk zh_pud"
    ),
    ("train", "test"): (
        "bxr_bdt cy_ccg fr_parisstories gl_treegal hsb_ufal id_csui kk_ktb kmr_mg "
        "la_perseus lij_glt olo_kkpp orv_rnc sa_vedic sl_sst sme_giella"
    ),
}
"""Treebanks by the splits that they have; TFDS's `dev` is our `validation`."""

WITHOUT_WORDS = frozenset(
    "ar_nyuad en_esl en_gumreddit fr_ftb gun_dooley ja_bccwj ja_bccwjluw "
    "qhe_hiencs".split()
)
"""Treebanks that are released with `_` for every word, for reasons of copyright."""

_TFDS_SPLITS = {"train": "train", "validation": "dev", "test": "test"}


def tagged_words(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Makes inputs and targets of words and their parts of speech.

    Contractions as a whole and words that are not there (`_`) go, and sentences in
    which nothing is left.

    Args:
      dataset: examples with `tokens`, string [words], and `upos`, int64 [words].
    """
    names = tf.constant(UPOS)

    def tagged(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        words, tags = example["tokens"], tf.gather(names, example["upos"])
        is_word = (words != "_") & (tags != "_")
        words, tags = tf.boolean_mask(words, is_word), tf.boolean_mask(tags, is_word)
        words = tf.strings.regex_replace(words, r"\s+", "_")
        return {
            "inputs": tf.strings.join(
                ["pos: ", tf.strings.reduce_join(words, separator=" ")]
            ),
            "targets": tf.strings.reduce_join(tags, separator=" "),
        }

    return dataset.map(tagged, num_parallel_calls=tf.data.AUTOTUNE).filter(
        lambda example: tf.strings.length(example["targets"]) > 0
    )


def entities(words: Sequence[str], tags: Sequence[str]) -> list[Span]:
    """Returns (label, text) of the entities that tags mark, in order.

    A span begins with `B-`; an `I-` with another label than what is before it begins
    one too, as the shared task's script has it.

    Args:
      words: words of a sentence.
      tags: the tag of each.
    """
    spans: list[tuple[str, list[str]]] = []
    before = "O"
    for word, tag in zip(words, tags, strict=True):
        position, _, label = tag.partition("-")
        if position == "I" and before.partition("-")[2] == label:
            spans[-1][1].append(word)
        elif label:
            spans.append((label, [word]))
        before = tag
    return [(label, " ".join(text)) for label, text in spans]


def named_entities(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Makes inputs and targets of words and their entities.

    Args:
      dataset: examples with `tokens`, string [words], and `ner`, int64 [words].
    """

    def written(words: npt.NDArray[Any], tags: npt.NDArray[np.int64]) -> bytes:
        texts = [word.decode("utf-8") for word in words]
        spans = entities(texts, [NER_TAGS[tag] for tag in tags])
        return format_spans(spans).encode("utf-8")

    def tagged(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        words, tags = example["tokens"], example["ner"]
        targets = tf.numpy_function(written, [words, tags], tf.string)
        return {
            "inputs": tf.strings.join(
                ["tag: ", tf.strings.reduce_join(words, separator=" ")]
            ),
            "targets": tf.ensure_shape(targets, []),
        }

    return dataset.map(tagged, num_parallel_calls=tf.data.AUTOTUNE)


def _tfds(name: str, splits: Sequence[str]) -> seqio.TfdsDataSource:
    return seqio.TfdsDataSource(
        tfds_name=name, splits={split: _TFDS_SPLITS[split] for split in splits}
    )


def _register_xtreme(variant: Variant) -> str:
    config = XTREME_CONFIGS.get(variant.own, variant.own)
    note = ""
    if config != variant.own:
        note = f"TFDS's config {config} holds this language, and not {variant.own}."
    splits: tuple[str, ...] = ("train", "validation", "test")
    if variant.own == "kk":
        splits = ("train", "test")
    elif variant.own in ("th", "tl", "yo"):
        splits = ("test",)
    return register_task(
        f"xtreme_pos.{variant.name}",
        _tfds(f"xtreme_pos/xtreme_pos_{config}:1.0.0", splits),
        TaskCard(
            family="tagging",
            language=variant.language,
            metrics=("tag_f1",),
            origin=f"TFDS xtreme_pos/xtreme_pos_{config} 1.0.0",
            licence="that of each Universal Dependencies treebank",
            labels="gold",
            verified="mocked",
            note=note,
        ),
        preprocessors=[tagged_words],
        metrics=[tag_f1],
    )


# Treebanks that go to and fro between two languages have codes of their own.
_TWO_LANGUAGES = frozenset({"qfn", "qhe", "qtd"})


def _register_treebank(treebank: str, splits: Sequence[str]) -> str:
    code = treebank.partition("_")[0]
    note = "Parts of speech only, no trees."
    if treebank in WITHOUT_WORDS:
        note += (
            " Released without its words: restore them first, or it has no examples."
        )
    return register_task(
        f"universal_dependencies.{treebank}",
        _tfds(f"universal_dependencies/{treebank}:1.0.1", splits),
        TaskCard(
            family="tagging",
            language="" if code in _TWO_LANGUAGES else mc4_code(code),
            metrics=("tag_f1",),
            origin=f"TFDS universal_dependencies/{treebank} 1.0.1",
            licence="that of the treebank",
            labels="gold",
            verified="mocked",
            note=note,
        ),
        preprocessors=[tagged_words],
        metrics=[tag_f1],
    )


def _register_conll2002(code: str) -> str:
    return register_task(
        f"conll2002.{code}",
        _tfds(f"conll2002/{code}:1.0.0", ("train", "validation", "test")),
        TaskCard(
            family="tagging",
            language=code,
            metrics=("span_f1",),
            origin=f"TFDS conll2002/{code} 1.0.0",
            licence="not known",
            labels="gold",
            verified="mocked",
            note="Tjong Kim Sang 2002. Where there is no name, the target is `none`.",
        ),
        preprocessors=[named_entities],
        metrics=[span_f1],
    )


for _variant in XTREME:
    _register_xtreme(_variant)
for _splits, _treebanks in TREEBANKS.items():
    for _treebank in _treebanks.split():
        _register_treebank(_treebank, _splits)
for _code in ("es", "nl"):
    _register_conll2002(_code)
