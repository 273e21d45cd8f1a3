"""Texts in many scripts, and what breaks tokenizers."""

# ruff: noqa: RUF001 (letters that look like others are the point)

from __future__ import annotations

MULTILINGUAL = (
    "The quick brown fox jumps over the lazy dog, twice; it can't be 1234567 times!",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich – für 3,50 €.",
    "Voix ambiguë d'un cœur qui, au zéphyr, préfère les jattes de kiwis.",
    "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "עטלף אבק נס דרך מזגן שהתפוצץ כי חם",
    "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ إِذ بَزَغَت",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश।",
    "いろはにほへと ちりぬるを 我が世誰ぞ 常ならむ。東京は日本の首都です。",
    "我能吞下玻璃而不伤身体。今天天气怎么样？",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน",
    "Do bạch kim rất quý nên sẽ dùng để lắp vô xương.",
)
AWKWARD = (
    "",
    " ",
    "   leading and trailing   ",
    "def f(x):\n    return [x ** 2  for _ in range(10)]\t# tabs\tand   spaces\n\n\n",
    "emoji 👩‍👩‍👧‍👦 🤽🏽‍♀️ 🇩🇪 and 𝔹𝕠𝕝𝕕",
    "e\u0301 is not é; \ue000 and \U0010fffd are private",
    "\x00 \x7f control",
    "aaaaaaaaaaaaaaaaaaaaaaaaa =========== ........ \n\n\n\n\n\n\n",
    "<s> </s> <0x41> <|x|>",
)
