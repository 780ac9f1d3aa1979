"""A few sentences in several scripts, the text of small vocabularies."""

SENTENCES = (
    "All human beings are born free and equal in dignity and rights.",
    "They are endowed with reason and conscience and should act in brotherhood.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "كل الناس يولدون أحرارا متساوين في الكرامة والحقوق.",
    "人人生而自由,在尊严和权利上一律平等。",
    "Everyone has the right to life, liberty and security of person.",
)
