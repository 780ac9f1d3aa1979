"""Which layout a folder has, and which language its files are in."""

from __future__ import annotations

from pathlib import Path

import pytest
import web_folders

from mtmoe.data.sources.web import layouts
from mtmoe.data.sources.web.folder import open_folder, web_text_directory
from mtmoe.errors import CorpusError
from mtmoe.languages import LANGUAGES

# Codes that differ from mC4's in CulturaX, and what mC4 has but CulturaX has not.
CULTURAX = {"iw": "he", "fil": "tl"}
NOT_IN_CULTURAX = "co ha haw hmn ig mi ny sm sn st xh zu".split()
# FLORES-200's codes, which HPLT 2.0 and FineWeb2 share, of all the languages it has.
FLORES = """
af afr_Latn am amh_Ethi ar arb_Arab az azj_Latn be bel_Cyrl bg bul_Cyrl bn ben_Beng
ca cat_Latn ceb ceb_Latn cs ces_Latn cy cym_Latn da dan_Latn de deu_Latn el ell_Grek
en eng_Latn eo epo_Latn es spa_Latn et est_Latn eu eus_Latn fa pes_Arab fi fin_Latn
fil tgl_Latn fr fra_Latn ga gle_Latn gd gla_Latn gl glg_Latn gu guj_Gujr ha hau_Latn
hi hin_Deva ht hat_Latn hu hun_Latn hy hye_Armn id ind_Latn ig ibo_Latn is isl_Latn
it ita_Latn iw heb_Hebr ja jpn_Jpan jv jav_Latn ka kat_Geor kk kaz_Cyrl km khm_Khmr
kn kan_Knda ko kor_Hang ku kmr_Latn ky kir_Cyrl lb ltz_Latn lo lao_Laoo lt lit_Latn
lv lvs_Latn mg plt_Latn mi mri_Latn mk mkd_Cyrl ml mal_Mlym mn khk_Cyrl mr mar_Deva
ms zsm_Latn mt mlt_Latn my mya_Mymr ne npi_Deva nl nld_Latn no nob_Latn ny nya_Latn
pa pan_Guru pl pol_Latn ps pbt_Arab pt por_Latn ro ron_Latn ru rus_Cyrl sd snd_Arab
si sin_Sinh sk slk_Latn sl slv_Latn sm smo_Latn sn sna_Latn so som_Latn sq als_Latn
sr srp_Cyrl st sot_Latn su sun_Latn sv swe_Latn sw swh_Latn ta tam_Taml te tel_Telu
tg tgk_Cyrl th tha_Thai tr tur_Latn uk ukr_Cyrl ur urd_Arab uz uzn_Latn vi vie_Latn
xh xho_Latn yi ydd_Hebr yo yor_Latn zh zho_Hans zu zul_Latn
"""
# The others, by ISO 639-3 and script; the romanised ones as FineWeb2 writes them.
OTHER_ISO = """
bg-Latn bul_Latn co cos_Latn el-Latn ell_Latn fy fry_Latn haw haw_Latn
hi-Latn hin_Latn hmn hmn_Latn ja-Latn jpn_Latn la lat_Latn ru-Latn rus_Latn
zh-Latn cmn_Latn
"""
CODES = [language.code for language in LANGUAGES]


def _pairs(table: str) -> dict[str, str]:
    words = table.split()
    return dict(zip(words[::2], words[1::2], strict=True))


ISO = _pairs(FLORES) | _pairs(OTHER_ISO)


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_found_in_every_layout_that_has_it(code):
    written = {
        layouts.ALLENAI_301: code,
        layouts.ALLENAI_310: code,
        layouts.MADLAD_400: code.replace("-", "_"),
        layouts.HPLT_2: ISO[code],
        layouts.FINEWEB_2: ISO[code],
        layouts.PLAIN: code,
        layouts.TFDS: code,
    }
    if code not in NOT_IN_CULTURAX and not code.endswith("-Latn"):
        written[layouts.CULTURAX] = CULTURAX.get(code, code)
        written[layouts.HPLT_1] = CULTURAX.get(code, code)
    for layout, name in written.items():
        assert layout.language(name) == code, (layout.name, name)


def test_the_tables_are_mc4s_languages():
    from tensorflow_datasets.text import c4

    assert sorted(CODES) == sorted(c4.MC4_LANGUAGES) == sorted(ISO)


def test_codes_that_mean_another_language_elsewhere():
    assert layouts.CULTURAX.language("als") == "gsw", "Alemannic, after OSCAR"
    assert layouts.HPLT_2.language("als_Latn") == "sq", "Tosk Albanian"
    assert layouts.FINEWEB_2.language("cmn_Hani") == "zh"
    assert layouts.HPLT_3.language("cmn_Hans") == "zh"
    assert layouts.HPLT_1.language("nb") == layouts.PLAIN.language("nob") == "no"
    assert layouts.MADLAD_400.language("az_RU") == "az-Cyrl"
    assert layouts.HPLT_2.language("srp_Latn") == "sr-Latn", "mC4's Serbian is Cyrillic"
    assert layouts.HPLT_2.language("uzn_Cyrl") == "uz-Cyrl"
    for code in ("swh_Latn_removed", "und", "zxx_xx_dtynoise"):
        assert layouts.FINEWEB_2.language(code) is None


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize("layout", layouts.MULTILINGUAL, ids=lambda x: x.name)
def test_an_example_is_recognised_at_any_depth(layout, tmp_path):
    _touch(tmp_path, f"deep/er/{layout.example}", "README.md", "stats.csv", "x/y.json")
    for top in (tmp_path, tmp_path / "deep" / "er"):
        folder = open_folder(str(top))
        assert folder.layout is layout
        (code,) = folder.files
        assert code == ("ar" if layout is layouts.ALLENAI_310 else "sw")
        ((path,),) = folder.files[code].values()
        assert path == f"{tmp_path}/deep/er/{layout.example}"


def test_no_layout_says_what_was_looked_for(tmp_path, monkeypatch):
    for names, has in (((), "no files"), (("a.bin", "xx.txt"), "a.bin, xx.txt")):
        folder = tmp_path / str(len(names))
        folder.mkdir()
        _touch(folder, *names)
        with pytest.raises(CorpusError) as error:
            open_folder(str(folder))
        for layout in (*layouts.MULTILINGUAL, layouts.PLAIN, layouts.TFDS):
            assert f"{layout.name}: {layout.example}" in str(error.value)
        assert str(error.value).endswith(f"it has {has}")
    with pytest.raises(CorpusError, match="is no folder"):
        open_folder(str(tmp_path / "none"))
    monkeypatch.delenv("MTMOE_WEB_TEXT", raising=False)
    with pytest.raises(CorpusError, match=r"no folder.*set \$MTMOE_WEB_TEXT"):
        open_folder(web_text_directory())
    with pytest.raises(ValueError, match="mc5"):
        open_folder(str(tmp_path), "mc5")


def test_a_mixed_folder_is_refused(tmp_path):
    madlad, culturax = layouts.MADLAD_400.example, layouts.CULTURAX.example
    _touch(tmp_path / "a", madlad, culturax)
    with pytest.raises(CorpusError, match="mixed: it holds MADLAD.*and CulturaX"):
        open_folder(str(tmp_path / "a"))
    _touch(tmp_path / "b", madlad, "data/sw/own.jsonl.gz")
    with pytest.raises(CorpusError, match=r"mixed: 1 files.*1 are not.*own\.jsonl\.gz"):
        open_folder(str(tmp_path / "b"))
    _touch(tmp_path / "c", "sw.txt", "a/b/c.parquet")
    with pytest.raises(CorpusError, match=r"mixed.*a/b/c\.parquet"):
        open_folder(str(tmp_path / "c"))
    example = layouts.ALLENAI_301.example
    unpacked = example.removesuffix(".gz").replace("c4-sw", "c4-yo")
    _touch(tmp_path / "f", example, unpacked)
    with pytest.raises(CorpusError, match=r"mixed.*c4-yo.*-00032\.json; move"):
        open_folder(str(tmp_path / "f"))
    _touch(tmp_path / "d", example, "multilingual/c4-sw.00000-00001.json.gz")
    with pytest.raises(CorpusError, match="mC4 3.0.1.*and AllenAI's mC4 3.1.0"):
        open_folder(str(tmp_path / "d"))
    for version in ("3.0.1", "3.1.0"):
        web_folders.write_tfds(tmp_path / "e", version, [])
    with pytest.raises(CorpusError, match=r"mixed.*3\.0\.1/, c4/multilingual/3\.1\.0/"):
        open_folder(str(tmp_path / "e"))
    assert open_folder(f"{tmp_path}/e/c4/multilingual/3.1.0").layout is layouts.TFDS


def test_of_several_parts_one_is_read(tmp_path):
    noisy = "data/sw/sw_noisy_0000.jsonl.gz"
    _touch(tmp_path / "a", layouts.MADLAD_400.example, noisy)
    folder = open_folder(f"{tmp_path}/a")
    assert folder.title == "MADLAD-400 (clean)"
    assert folder.files_of("sw")["train"] == (
        f"{tmp_path}/a/data/sw/sw_clean_0000.jsonl.gz",
    )
    assert open_folder(f"{tmp_path}/a", part="noisy").files_of("sw")["train"] == (
        f"{tmp_path}/a/{noisy}",
    )
    with pytest.raises(CorpusError, match="no part 'nosy'.*clean, noisy"):
        open_folder(f"{tmp_path}/a", part="nosy")
    _touch(tmp_path / "b", noisy)
    assert open_folder(f"{tmp_path}/b").part == "noisy"
    _touch(tmp_path / "c", "deduplicated/sw/sw_1.jsonl.zst", "sw/sw_1.jsonl.zst")
    with pytest.raises(CorpusError, match="has the parts deduplicated.*choose one"):
        open_folder(f"{tmp_path}/c")


def test_fineweb2s_test_files_are_neither_trained_nor_validated_on(tmp_path):
    train = layouts.FINEWEB_2.example
    _touch(tmp_path, train, train.replace("train", "test"))
    files = open_folder(str(tmp_path)).files_of("sw")
    assert files["train"] == (f"{tmp_path}/{train}",)
    assert set(files) == {"train", "test"}


def test_a_prepared_folder_without_its_description_is_an_error(tmp_path):
    target = web_folders.write_tfds(tmp_path, "3.0.1", ["sw"])
    (target / "features.json").unlink()
    with pytest.raises(CorpusError, match="TensorFlow Datasets cannot open it"):
        open_folder(str(tmp_path))


def test_languages_of_a_prepared_folder(tmp_path):
    web_folders.write_tfds(tmp_path, "3.1.0", ["sw", "iw"])
    folder = open_folder(str(tmp_path))
    assert set(folder.files) == {"sw", "iw"} and folder.other_codes == ("und",)
    with pytest.raises(CorpusError, match=r"no text in 'su'.*nearest: sw.*codes: und"):
        folder.files_of("su")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"snapshots/aaa/{layouts.MADLAD_400.example}", layouts.MADLAD_400.example),
        (f"a/{layouts.FINEWEB_2.example}", f"b/{layouts.FINEWEB_2.example}"),
        (f"a/{layouts.HPLT_2.example}", f"b/{layouts.HPLT_2.example}"),
        (f"a/{layouts.HPLT_3.example}", f"b/{layouts.HPLT_3.example}"),
        (f"a/{layouts.CULTURAX.example}", layouts.CULTURAX.example),
        ("sw.jsonl", "sw.jsonl.gz"),
        ("SW.txt", "sw.txt.zst"),
        ("sw/a.jsonl.gz", "sw/a.jsonl"),
    ],
)
def test_two_copies_of_a_file_are_refused_with_both_names(first, second, tmp_path):
    _touch(tmp_path, first, second)
    with pytest.raises(CorpusError) as error:
        open_folder(str(tmp_path))
    for name in (first, second):
        assert f"{tmp_path}/{name}" in str(error.value)
    assert "two copies of one file" in str(error.value)


def test_files_of_two_revisions_are_refused(tmp_path):
    name = "swh_Latn/train-0000{}-of-0000{}.parquet"
    _touch(tmp_path, name.format(0, 3), name.format(1, 3), name.format(2, 4))
    with pytest.raises(CorpusError, match="of-00003.*of-00004.parquet are of two rev"):
        open_folder(str(tmp_path))


def test_names_in_capitals_and_files_that_do_not_count(tmp_path):
    _touch(tmp_path, "SW.TXT", "Hr-Valid.JSONL", "uz_Cyrl/Part.PARQUET", "sw/test.txt")
    _touch(
        tmp_path, "README.txt", "._sw.txt", ".DS_Store", "sw.txt~", "__MACOSX/sw.txt"
    )
    assert open_folder(str(tmp_path)).files == {
        "sw": {"train": (f"{tmp_path}/SW.TXT",), "test": (f"{tmp_path}/sw/test.txt",)},
        "hr": {"validation": (f"{tmp_path}/Hr-Valid.JSONL",)},
        "uz-Cyrl": {"train": (f"{tmp_path}/uz_Cyrl/Part.PARQUET",)},
    }


def test_a_plain_folder_leaves_no_file_out_in_silence(tmp_path):
    for number, name in enumerate(
        ("germn.txt", "stats/a.jsonl", "sw.csv", "a/b/c.txt")
    ):
        _touch(tmp_path / str(number), "sw.txt", name)
        with pytest.raises(CorpusError, match=f"{name}.*(?:name files|move them)"):
            open_folder(str(tmp_path / str(number)))
