"""The 107 tasks of the ExMix-style set and 42 more: what is known of each row.

The paper's own list was not at hand. How sure it is that a row is in ExMix stands with
each; `CERTAINTY` says what the words mean. Where example counts come from stands there
too: t5's own weights, the catalogue of TensorFlow Datasets, a hub's listing, or memory.

Importing reads no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import seqio

from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task

CERTAINTY = {
    "group": "its group is in ExMix and the group's total was reproduced",
    "group-": "its group is in ExMix, the group's total was not reproduced",
    "named": "named as a family's representative in ExT5, from memory",
    "recalled": "a row of the list as remembered",
    "secondary": "named by a second source, and remembered",
    "fill-in": "stands in for a row that is not known",
    "extra": "beyond the 107",
}

COUNTED_BY = {
    "t5": "t5's GLUE and SuperGLUE weights",
    "tfds": "the catalogue of TensorFlow Datasets",
    "hub": "a hub's listing",
    "memory": "from memory",
    "": "unknown",
}

ASSUMED_TRAIN_EXAMPLES = {
    # The published training files of the four domains, before DialoGLUE's split.
    "dialoglue_dstc8_sgd": 5_569,
    # SemEval-2016 task 6: A as TweetEval divides it; B, whose labelled tweets are 707.
    "tweet_eval_stance_a": 2_620,
    "tweet_eval_stance_b": 707,
    # A quarter each of a remembered total of the four, 53,546.
    "styleptb_1": 13_386,
    "styleptb_2": 13_386,
    "styleptb_3": 13_386,
    "styleptb_4": 13_386,
}
"""ASSUMPTIONS: sizes of the rows among the 107 whose count of training examples is not
known, so that mixtures have a rate for each. The order of magnitude is all they say."""

# number | name | dataset | certainty | training examples | counted by
_TABLE = """
1  |glue_cola                     |CoLA                        |group    |8551   |t5
2  |glue_sst2                     |SST-2                       |group    |67349  |t5
3  |glue_mrpc                     |MRPC                        |group    |3668   |t5
4  |glue_qqp                      |QQP                         |group    |363849 |t5
5  |glue_stsb                     |STS-B                       |group    |5749   |t5
6  |glue_mnli                     |MNLI                        |group    |392702 |t5
7  |glue_qnli                     |QNLI                        |group    |104743 |t5
8  |glue_rte                      |RTE                         |group    |2490   |t5
9  |super_glue_boolq              |BoolQ                       |group    |9427   |t5
10 |super_glue_cb                 |CommitmentBank              |group    |250    |t5
11 |super_glue_copa               |COPA                        |group    |400    |t5
12 |super_glue_multirc            |MultiRC                     |group    |27243  |t5
13 |super_glue_record             |ReCoRD                      |group    |138854 |t5
14 |super_glue_rte                |RTE                         |group    |2490   |t5
15 |super_glue_wic                |WiC                         |group    |5428   |t5
16 |super_glue_wsc_dpr            |WSC.fixed + DPR             |group    |1581   |t5
17 |kilt_fever                    |FEVER                       |group-   |104966 |memory
18 |kilt_aidayago2                |AIDA CoNLL-YAGO             |group-   |18395  |memory
19 |kilt_trex                     |T-REx                       |group-   |2284168|memory
20 |kilt_structured_zeroshot      |Zero-shot RE                |group-   |147909 |memory
21 |kilt_nq                       |Natural Questions           |group-   |87372  |memory
22 |kilt_hotpotqa                 |HotpotQA                    |group-   |88869  |hub
23 |kilt_triviaqa                 |TriviaQA                    |group-   |61844  |memory
24 |kilt_eli5                     |ELI5                        |group-   |272634 |memory
25 |kilt_wow                      |Wizard of Wikipedia         |group-   |63734  |memory
26 |rainbow_anli                  |aNLI                        |group    |169654 |memory
27 |rainbow_cosmosqa              |CosmosQA                    |group    |25262  |hub
28 |rainbow_hellaswag             |HellaSwag                   |group    |39905  |hub
29 |rainbow_piqa                  |PIQA                        |group    |16113  |hub
30 |rainbow_socialiqa             |Social IQa                  |group    |33410  |hub
31 |rainbow_winogrande            |WinoGrande XL               |group    |40398  |hub
32 |gem_common_gen                |CommonGen                   |group    |67389  |tfds
33 |gem_dart                      |DART                        |group    |62659  |memory
34 |gem_e2e_nlg                   |E2E NLG                     |group    |33525  |memory
35 |gem_schema_guided_dialog      |Schema-Guided Dialog        |group    |164982 |memory
36 |gem_totto                     |ToTTo                       |group    |121153 |memory
37 |gem_web_nlg_en                |WebNLG en                   |group    |35426  |memory
38 |gem_wiki_auto_asset_turk      |WikiAuto                    |group    |483801 |memory
39 |gem_wiki_lingua_english_en    |WikiLingua en->en           |group    |99020  |memory
40 |dialoglue_banking77           |BANKING77                   |group-   |8622   |memory
41 |dialoglue_clinc150            |CLINC150                    |group-   |15000  |memory
42 |dialoglue_hwu64               |HWU64                       |group-   |8954   |memory
43 |dialoglue_restaurant8k        |Restaurant8k                |group-   |8198   |memory
44 |dialoglue_dstc8_sgd           |DSTC8-SGD slots             |group-   |       |
45 |dialoglue_top                 |TOP                         |group-   |31279  |memory
46 |tweet_eval_emoji              |TweetEval emoji             |group-   |45000  |memory
47 |tweet_eval_emotion            |TweetEval emotion           |group-   |3257   |memory
48 |tweet_eval_hate               |TweetEval hate              |group-   |9000   |memory
49 |tweet_eval_irony              |TweetEval irony             |group-   |2862   |memory
50 |tweet_eval_offensive          |TweetEval offensive         |group-   |11916  |memory
51 |tweet_eval_sentiment          |TweetEval sentiment         |group-   |45615  |memory
52 |tweet_eval_stance_a           |TweetEval stance            |group-   |       |
53 |tweet_eval_stance_b           |TweetEval stance            |group-   |       |
54 |cnn_dailymail                 |CNN/DailyMail               |named    |287113 |hub
55 |xsum                          |XSum                        |named    |203577 |tfds
56 |multi_news                    |Multi-News                  |recalled |44972  |hub
57 |aeslc                         |AESLC                       |recalled |14436  |tfds
58 |gigaword                      |Gigaword                    |recalled |3803957|hub
59 |samsum                        |SAMSum                      |recalled |14732  |hub
60 |anli                          |ANLI r1+r2+r3               |named    |162865 |hub
61 |esnli                         |e-SNLI                      |recalled |549367 |tfds
62 |imdb                          |IMDb                        |named    |25000  |hub
63 |goemotions                    |GoEmotions                  |named    |43410  |tfds
64 |civil_comments                |Civil Comments              |named    |1804874|memory
65 |funql_atis                    |ATIS -> FunQL               |named    |4434   |memory
66 |funql_geo                     |GEO -> FunQL                |named    |600    |memory
67 |funql_jobs                    |JOBS -> FunQL               |secondary|500    |memory
68 |cogs                          |COGS                        |named    |24155  |memory
69 |squad                         |SQuAD v1.1                  |named    |87599  |memory
70 |tweetqa                       |TweetQA                     |named    |10692  |memory
71 |styleptb_1                    |StylePTB tense              |secondary|       |
72 |styleptb_2                    |StylePTB voice              |secondary|       |
73 |styleptb_3                    |StylePTB PP front/back      |secondary|       |
74 |styleptb_4                    |StylePTB composition        |secondary|       |
75 |shakespeare_modern_to_original|Shakespearizing English     |secondary|18395  |memory
76 |shakespeare_original_to_modern|Shakespearizing English     |secondary|18395  |memory
77 |gpt2_deepfake                 |GPT-2 output detection      |secondary|500000 |memory
78 |ukp_argument                  |UKP argument mining         |secondary|18341  |memory
79 |newsquizqa                    |NewsQuizQA                  |secondary|16160  |memory
80 |sentiment140                  |Sentiment140                |fill-in  |1600000|tfds
81 |wiki_toxicity                 |Wikipedia toxicity subtypes |fill-in  |159571 |memory
82 |yelp_polarity                 |Yelp polarity               |fill-in  |560000 |tfds
83 |ag_news                       |AG News                     |fill-in  |120000 |hub
84 |trec                          |TREC                        |fill-in  |5452   |hub
85 |scicite                       |SciCite                     |fill-in  |8194   |memory
86 |movie_rationales              |Movie Rationales            |fill-in  |1600   |memory
87 |snli                          |SNLI                        |fill-in  |550152 |memory
88 |scitail                       |SciTail                     |fill-in  |23097  |memory
89 |docnli                        |DocNLI                      |fill-in  |942314 |tfds
90 |paws_wiki                     |PAWS-Wiki labeled final     |fill-in  |49401  |hub
91 |coqa                          |CoQA                        |fill-in  |7199   |tfds
92 |quac                          |QuAC                        |fill-in  |83568  |memory
93 |drop                          |DROP                        |fill-in  |77409  |tfds
94 |race_high                     |RACE high                   |fill-in  |62445  |hub
95 |race_middle                   |RACE middle                 |fill-in  |25421  |hub
96 |openbookqa                    |OpenBookQA                  |fill-in  |4957   |hub
97 |arc_challenge                 |ARC-Challenge               |fill-in  |1119   |hub
98 |arc_easy                      |ARC-Easy                    |fill-in  |2251   |hub
99 |qasc                          |QASC                        |fill-in  |8134   |hub
100|cos_e                         |CoS-E / CommonsenseQA       |fill-in  |9741   |hub
101|web_questions                 |WebQuestions                |fill-in  |3778   |hub
102|squad_qg                      |SQuAD question generation   |fill-in  |75722  |memory
103|reddit_tifu                   |Reddit TIFU short           |fill-in  |79740  |memory
104|billsum                       |BillSum                     |fill-in  |18949  |memory
105|cfq                           |CFQ random split            |fill-in  |95743  |memory
106|scan                          |SCAN simple                 |fill-in  |16728  |memory
107|math_qa                       |MathQA                      |fill-in  |29837  |memory
x1 |nq_open                       |Natural Questions Open      |extra    |87925  |tfds
x2 |trivia_qa_open                |TriviaQA unfiltered         |extra    |87622  |hub
x3 |mrqa_hotpot_qa                |HotpotQA                    |extra    |72928  |memory
x4 |mrqa_news_qa                  |NewsQA                      |extra    |74160  |memory
x5 |mrqa_search_qa                |SearchQA                    |extra    |117384 |memory
x6 |mrqa_natural_questions        |NQ short                    |extra    |104071 |memory
x7 |mrqa_trivia_qa                |TriviaQA                    |extra    |61688  |memory
x8 |squad_v2                      |SQuAD v2                    |extra    |130319 |hub
x9 |uqa_commonsenseqa             |CommonsenseQA               |extra    |9741   |hub
x10|uqa_narrativeqa               |NarrativeQA                 |extra    |65494  |memory
x11|uqa_quoref                    |Quoref                      |extra    |19399  |hub
x12|uqa_ropes                     |ROPES                       |extra    |10924  |hub
x13|uqa_ambigqa                   |AmbigQA                     |extra    |       |
x14|uqa_mctest                    |MCTest                      |extra    |       |
x15|conll2003_ner                 |CoNLL-2003 NER              |extra    |14041  |memory
x16|wiki_bio                      |WikiBio                     |extra    |582659 |hub
x17|e2e_cleaned                   |E2E cleaned                 |extra    |33525  |memory
x18|dart_tfds                     |DART                        |extra    |62659  |memory
x19|web_nlg_tfds                  |WebNLG                      |extra    |35426  |memory
x20|wiki_table_text               |WikiTableText               |extra    |10000  |memory
x21|wiki_table_questions          |WikiTableQuestions          |extra    |14149  |memory
x22|wiki_auto                     |Wiki-Auto ACL               |extra    |488332 |memory
x23|schema_guided_dialogue        |SGD                         |extra    |16142  |memory
x24|qrecc                         |QReCC                       |extra    |63501  |memory
x25|bot_adversarial_dialogue      |BAD                         |extra    |       |
x26|gsm8k                         |GSM8K                       |extra    |7473   |memory
x27|math_algebra_linear_1d        |DeepMind Mathematics        |extra    |1999998|memory
x28|reddit_tifu_long              |Reddit TIFU long            |extra    |42139  |memory
x29|gem_xsum                      |GEM XSum                    |extra    |23206  |memory
x30|newsroom                      |Newsroom                    |extra    |995041 |memory
x31|wikihow                       |WikiHow                     |extra    |157252 |memory
x32|big_patent                    |BigPatent                   |extra    |1207222|memory
x33|gov_report                    |GovReport                   |extra    |17457  |memory
x34|summscreen_fd                 |SummScreen FD               |extra    |3673   |memory
x35|arxiv_sum                     |arXiv summarization         |extra    |203037 |memory
x36|pubmed_sum                    |PubMed summarization        |extra    |119924 |memory
x37|eraser_multirc                |ERASER MultiRC              |extra    |24029  |memory
x38|gap                           |GAP                         |extra    |2000   |memory
x39|dpr                           |Definite Pronoun Resolution |extra    |1322   |t5
x40|star_cfq                      |*-CFQ                       |extra    |       |
x41|bool_q                        |BoolQ                       |extra    |9427   |t5
x42|natural_instructions          |Super-NaturalInstructions   |extra    |       |
"""


@dataclass(frozen=True)
class Row:
    """One row of the set.

    Attributes:
      number: 1 to 107, or x1 to x42 for the extra ones.
      name: the task's name without its prefix.
      dataset: what the field calls the data.
      certainty: a key of `CERTAINTY`.
      train_examples: size of the training split, None if unknown.
      counted_by: a key of `COUNTED_BY`.
    """

    number: str
    name: str
    dataset: str
    certainty: str
    train_examples: int | None
    counted_by: str

    @property
    def task_name(self) -> str:
        """The registered name: `exmix.NAME`, or `extra.NAME` beyond the 107."""
        return f"{'extra' if self.certainty == 'extra' else 'exmix'}.{self.name}"


def _parse(line: str) -> Row:
    number, name, dataset, certainty, count, by = (c.strip() for c in line.split("|"))
    return Row(number, name, dataset, certainty, int(count) if count else None, by)


ROWS: dict[str, Row] = {
    row.name: row for row in map(_parse, _TABLE.strip().splitlines())
}
"""Every row by its name."""


def register_row(
    name: str,
    source: seqio.DataSource,
    *,
    family: str,
    origin: str,
    licence: str,
    metrics: Sequence[Callable[..., Any]],
    metric_names: Sequence[str],
    preprocessors: Sequence[Callable[..., Any]] = (),
    postprocess: Callable[..., Any] | None = None,
    verified: str = "mocked",
    note: str = "",
) -> str:
    """Registers the task of a row; arguments as of `register_task` and `TaskCard`.

    Args:
      name: a key of `ROWS`; one without a count gets that of
        `ASSUMED_TRAIN_EXAMPLES`, and the card says so.
      source: where its examples come from.
      family: one of `FAMILIES`.
      origin: e.g. "TFDS glue/cola 2.0.0".
      licence: licence of the data, as far as known.
      metrics: metric functions.
      metric_names: the values they give.
      preprocessors: what makes inputs and targets of the source's examples.
      postprocess: what makes of text what the metrics compare.
      verified: see `TaskCard`.
      note: see `TaskCard`.

    Returns:
      The registered name.
    """
    row = ROWS[name]
    counted = COUNTED_BY[row.counted_by]
    count = row.train_examples or ASSUMED_TRAIN_EXAMPLES.get(name)
    if count != row.train_examples:
        counted += f"; mixtures assume {count:,}"
    return register_task(
        row.task_name,
        source,
        TaskCard(
            family=family,
            language="en",
            metrics=tuple(metric_names),
            origin=origin,
            licence=licence,
            labels="gold",
            certainty=CERTAINTY[row.certainty],
            train_examples=count,
            verified=verified,
            note=f"{note} Count of examples: {counted}.".strip(),
        ),
        preprocessors=preprocessors,
        postprocess=postprocess,
        metrics=metrics,
    )
