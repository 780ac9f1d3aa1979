"""mC4 in published numbers: pages, tokens, characters and sampling rates by language.

Pages of version 3.0.1 are those of TensorFlow Datasets' catalogue (`c4/multilingual`).
Pages in millions, tokens and sampling rates of mT5 are table 6 of Xue et al. 2021;
characters of version 3.1.0 and the rates of umT5 are table 8 of Chung et al. 2023
("UniMax"). Published numbers stand as they were printed, rounding included.
"""

from __future__ import annotations

from dataclasses import dataclass

from mtmoe.languages import language

# code | pages of 3.0.1: train, validation | mT5: pages in millions, tokens in billions,
# sampling in percent | 3.1.0: characters in billions; sampling in percent at
# temperature 3.33, by UniMax of one epoch at most, by that of an eighth of the budget
_TABLE = """
en      3079081989 3083850 3067 2733 5.67 13396 5.75 3.22 1.48
ru       755585265  756418  756  713 3.71  3018 3.68 3.22 1.48
es       416057992  416256  416  433 3.09  2052 3.28 3.22 1.48
de       397006993  398583  397  347 3.05  1799 3.15 3.22 1.48
fr       332674575  331328  333  318 2.89  1433 2.94 3.22 1.48
it       186404508  186030  186  162 2.43   779 2.45 3.22 1.48
pt       169239084  169417  169  146 2.36   658 2.33 3.22 1.48
pl       126164277  125997  126  130 2.15   527 2.18 3.22 1.48
nl        96210458   96637   96   73 1.98   371 1.96 3.22 1.48
tr        87595290   87596   88   71 1.93   349 1.93 3.22 1.48
ja        87337884   87420   87  164 1.92   240 1.72 3.22 1.48
vi        78587159   78611   79  116 1.87   409 2.02 3.22 1.48
id        69625551   69739   70   69 1.80    51 1.08 1.09 1.48
cs        60149680   60462   60   63 1.72   236 1.71 3.22 1.48
zh        54542308   54656   55   39 1.67   556 2.21 3.22 1.48
fa        53927287   53685   54   52 1.67   202 1.63 3.22 1.48
ar        53256040   52978   53   57 1.66   252 1.75 3.22 1.48
sv        48570979   48633   49   45 1.61   201 1.63 3.22 1.48
ro        45738857   45512   46   52 1.58   250 1.74 3.22 1.48
el        41753736   42358   42   43 1.54   166 1.54 3.22 1.48
uk        38556465   38550   39   41 1.51   171 1.55 3.22 1.48
hu        36819508   36756   37   39 1.48   185 1.59 3.22 1.48
da        28777331   28945   29   29 1.38   132 1.44 2.83 1.48
fi        26842650   26710   27   25 1.35   120 1.40 2.58 1.48
no        25402139   25766   25   27 1.33   116 1.38 2.49 1.48
bg        23409799   23503   23   22 1.29    99 1.32 2.13 1.48
hi        18507273   18392   19   24 1.21    75 1.21 1.60 1.48
sk        17729698   17865   18   18 1.19    79 1.23 1.69 1.48
ko        15602947   15771   16   26 1.14    74 1.21 1.59 1.48
th        15463131   15344   15   11 1.14    92 1.29 1.97 1.48
ca        14492899   14489   14   13 1.12    55 1.11 1.19 1.48
ms        13180647   13391   13   13 1.09    15 0.75 0.32 1.48
iw        12334609   12207   12   17 1.06    57 1.12 1.23 1.48
lt        11274295   11245   11   11 1.04    63 1.15 1.35 1.48
sl         8499456    8504  8.5  8.8 0.95    47 1.05 1.00 1.48
mr         7774331    7928  7.8   14 0.93    13 0.72 0.28 1.48
bn         7444098    7415  7.4  7.3 0.91    34 0.95 0.72 1.48
et         6941360    6848  6.9  6.9 0.89    42 1.02 0.91 1.48
lv         6414223    6598  6.4  7.0 0.87    38 0.99 0.83 1.48
az         5285720    5239  5.3  4.4 0.82    18 0.79 0.39 1.48
gl         4549465    4631  4.6  2.4 0.79   8.8 0.64 0.19 1.48
cy         4131915    4103  4.1  4.9 0.76   3.1 0.47 0.07 0.53
sq         4113147    4086  4.1  4.0 0.76    18 0.79 0.39 1.48
ta         3514561    3510  3.5  3.4 0.73    17 0.78 0.37 1.48
sr         3398483    3443  3.4  4.3 0.72    18 0.79 0.39 1.48
ne         2942785    2951  2.9  3.2 0.69    11 0.68 0.23 1.48
lb         2740336    2692  2.7  1.0 0.68   1.3 0.36 0.03 0.22
hy         2401949    2410  2.4  2.4 0.65    10 0.66 0.21 1.48
kk         2392401    2400  2.4  3.1 0.65    13 0.72 0.28 1.48
ka         2295551    2279  2.3  2.5 0.64    10 0.67 0.22 1.48
mt         2261303    2322  2.3  5.2 0.64   5.2 0.54 0.11 0.89
af         2152243    2118  2.2  1.7 0.63   7.4 0.61 0.16 1.27
fil        2102197    2158  2.1  2.1 0.62   9.5 0.65 0.20 1.48
is         2069293    2065  2.1  2.6 0.62    14 0.73 0.30 1.48
mk         2058417    2054  2.1  1.8 0.62    10 0.65 0.20 1.48
mn         2054674    2090  2.1  2.7 0.62   9.3 0.65 0.20 1.48
ml         2044981    2002  2.1  1.8 0.62   9.4 0.65 0.20 1.48
ur         1950124    1885  1.9  2.4 0.61    11 0.68 0.23 1.48
be         1742030    1712  1.7  2.0 0.59   7.4 0.60 0.16 1.26
la         1674463    1654  1.7  1.3 0.58   4.5 0.52 0.10 0.78
eu         1555887    1580  1.6  1.4 0.57   6.3 0.58 0.13 1.08
tg         1280757    1259  1.3  1.4 0.54   5.4 0.55 0.12 0.93
te         1188243    1211  1.2  1.3 0.52   5.9 0.57 0.13 1.01
fy         1104359    1094  1.1  0.4 0.51   1.0 0.33 0.02 0.17
kn         1056849    1039  1.1  1.1 0.51   6.9 0.59 0.15 1.18
ky          995539     976  1.0  1.0 0.50   3.7 0.49 0.08 0.64
sw          985654     994  1.0  1.0 0.50   4.1 0.51 0.09 0.70
so          893012     888  0.9  1.4 0.48   4.4 0.52 0.10 0.76
my          813530     858  0.8  0.9 0.47   4.2 0.51 0.09 0.72
uz          796416     847  0.8  0.9 0.46   4.8 0.53 0.10 0.82
km          756612     745  0.8  0.6 0.46   3.5 0.48 0.07 0.60
ru-Latn     745491     753  0.7  0.9 0.46   2.6 0.44 0.06 0.44
sd          743057     774  0.7  1.6 0.45   0.9 0.32 0.02 0.15
gu          631600     651  0.6  0.8 0.43   3.6 0.49 0.08 0.61
hi-Latn     626154     638  0.6  0.6 0.43   0.7 0.30 0.02 0.12
jv          581528     609  0.6  0.3 0.42   0.7 0.30 0.01 0.12
zu          555458     548  0.6  0.2 0.42   0.7 0.30 0.02 0.12
si          534759     509  0.5  0.8 0.41   3.0 0.46 0.06 0.52
ja-Latn     533516     506  0.5  0.3 0.41   0.4 0.25 0.01 0.06
eo          500048     496  0.5  0.7 0.40   3.3 0.48 0.07 0.57
co          494913     565  0.5  0.2 0.40   0.5 0.27 0.01 0.09
ga          465670     490  0.5  0.5 0.40   2.1 0.42 0.05 0.36
el-Latn     449943     468  0.4  0.4 0.39   0.9 0.32 0.02 0.15
zh-Latn     373664     387  0.4  0.2 0.37   1.9 0.40 0.04 0.33
pa          363399     346  0.4  0.6 0.37   2.2 0.42 0.05 0.37
ceb         351894     367  0.4  0.2 0.36   1.1 0.34 0.02 0.19
mg          345040     367  0.3  0.2 0.36   0.9 0.33 0.02 0.16
ps          335452     318  0.3  0.4 0.36   1.4 0.37 0.03 0.25
sn          326392     306  0.3  0.2 0.35   0.4 0.25 0.01 0.07
gd          322404     338  0.3  0.4 0.35   0.8 0.31 0.02 0.14
ku          298389     298  0.3  0.4 0.34   1.3 0.36 0.03 0.22
hmn         295549     312  0.3  0.2 0.34   0.6 0.29 0.01 0.11
su          280719     269  0.3  0.1 0.34   0.5 0.27 0.01 0.09
ht          269174     281  0.3  0.2 0.33   0.8 0.31 0.02 0.14
ha          247479     258  0.2  0.2 0.33   1.1 0.34 0.02 0.19
ny          174696     162  0.2  0.1 0.29   0.5 0.27 0.01 0.08
am          162870     155  0.2  0.3 0.29   0.9 0.32 0.02 0.16
bg-Latn     162461     144  0.2 0.09 0.29   0.1 0.16 0.00 0.01
yi          143708     161  0.1  0.3 0.28   0.8 0.31 0.02 0.13
lo          141776     145  0.1  0.1 0.28   0.8 0.31 0.02 0.13
mi          101169     106  0.1  0.1 0.25   0.6 0.28 0.01 0.10
sm           98467     108  0.1 0.09 0.25   0.4 0.25 0.01 0.07
ig           92909      87 0.09 0.09 0.24   0.4 0.25 0.01 0.07
haw          84312      86 0.08 0.09 0.24   0.4 0.24 0.01 0.06
xh           69048      62 0.07 0.06 0.22   0.5 0.27 0.01 0.08
st           66837      88 0.07 0.08 0.22   0.5 0.27 0.01 0.08
yo           46214      42 0.05 0.05 0.20   0.3 0.24 0.01 0.06
"""


@dataclass(frozen=True)
class Mc4Statistics:
    """What is published on one language of mC4.

    Attributes:
      code: mC4's code.
      train_pages: pages of the training split of version 3.0.1.
      validation_pages: pages of its validation split.
      mt5_pages: pages as mT5's table has them, rounded to two digits or millions.
      mt5_tokens: tokens as mT5's table has them, rounded likewise.
      mt5_percent: share of mT5's training examples, in percent.
      characters: characters of version 3.1.0, rounded to two digits or billions.
      temperature_percent: share at temperature 3.33 over characters, in percent.
      unimax_percent: share by UniMax with N = 1 and umT5's full budget, in percent.
      unimax_eighth_percent: the same with an eighth of the budget.
    """

    code: str
    train_pages: int
    validation_pages: int
    mt5_pages: int
    mt5_tokens: int
    mt5_percent: float
    characters: int
    temperature_percent: float
    unimax_percent: float
    unimax_eighth_percent: float


ENGLISH_C4_PAGES = (364_868_901, 364_608)
"""Training and validation pages of English C4 (`c4/en` 3.0.1)."""


def _parse_row(row: str) -> Mc4Statistics:
    code, *cells = row.split()
    train, validation = map(int, cells[:2])
    pages, tokens, mt5, characters, *percents = map(float, cells[2:])
    return Mc4Statistics(
        language(code).code,
        train,
        validation,
        round(pages * 1e6),
        round(tokens * 1e9),
        mt5,
        round(characters * 1e9),
        *percents,
    )


MC4_STATISTICS: dict[str, Mc4Statistics] = {
    row.code: row for row in map(_parse_row, _TABLE.strip().splitlines())
}
"""All 107 languages by mC4 code, in order of mT5's table: most pages first."""
