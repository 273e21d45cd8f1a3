"use strict";
// Draws an answer from its rounds: {texts, accepted, drafted} each. Drafts that were accepted come first in a
// round, then the large model's own token.
const KINDS = {
  accepted: "drafted by the small model, accepted by the large one",
  corrected: "the large model's, in place of a draft that it refused",
  bonus: "the large model's, after a draft that it accepted to the end",
  alone: "the large model's, without a draft",
};
const picture = { counts: {}, drafted: [], accepted: [], rounds: 0, tokens: 0 };

function kindOf(place, round) {
  if (place < round.accepted) return "accepted";
  if (round.drafted === 0) return "alone";
  return round.accepted < round.drafted ? "corrected" : "bonus";
}

function clearPicture() {
  Object.assign(picture, { counts: {}, drafted: [], accepted: [], rounds: 0, tokens: 0 });
  document.getElementById("text").replaceChildren();
  drawNumbers(0);
}

function drawRound(round) {
  const text = document.getElementById("text");
  round.texts.forEach((piece, place) => {
    const kind = kindOf(place, round), token = document.createElement("span");
    token.className = "token " + kind;
    token.title = KINDS[kind];
    token.textContent = piece;
    text.append(token);
    picture.counts[kind] = (picture.counts[kind] || 0) + 1;
  });
  picture.rounds += 1;
  picture.tokens += round.texts.length;
  for (let place = 0; place < round.drafted; place++) {
    picture.drafted[place] = (picture.drafted[place] || 0) + 1;
    picture.accepted[place] = (picture.accepted[place] || 0) + (place < round.accepted ? 1 : 0);
  }
}

function drawNumbers(seconds) {
  const set = (id, text) => { document.getElementById(id).textContent = text; };
  const share = (a, b) => (b ? Math.round((100 * a) / b) + " %" : "–");
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  set("tokens", picture.tokens);
  set("speed", seconds > 0 ? (picture.tokens / seconds).toFixed(1) : "–");
  set("per-round", picture.rounds ? (picture.tokens / picture.rounds).toFixed(2) : "–");
  set("rate", share(sum(picture.accepted), sum(picture.drafted)));
  for (const kind of Object.keys(KINDS)) set("count-" + kind, picture.counts[kind] || 0);
  document.getElementById("places").replaceChildren(...picture.drafted.map((drafted, place) => {
    const column = document.createElement("div"), bar = document.createElement("i");
    bar.style.height = (90 * picture.accepted[place]) / drafted + "px";
    column.append(share(picture.accepted[place], drafted), bar, `draft ${place + 1}`);
    return column;
  }));
}
