"use strict";
(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  // Served, answers go to the server; opened as a file, they stay in this browser until they are downloaded.
  const served = location.protocol.startsWith("http");
  const key = `clinragen-study-${study.id}-${study.rater}`;
  const items = study.criteria.criteria.flatMap((one) => one.items.map((item) => `${one.key}.${item.key}`));
  const answers = {};
  const waiting = new Set();
  const timers = new Map();
  let current = 0;
  let sending = false;

  const make = (tag, attributes = {}, ...children) => {
    const svg = ["svg", "rect", "polyline", "line"].includes(tag);
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  };

  const empty = () => ({
    checks: {}, overall: null, wrong_sentences: [], omissions: null, omitted_diseases: [], comment: "",
  });
  const of = (item) => (answers[item] ??= empty());
  const isDone = (item) => {
    const one = answers[item];
    return !!one && items.every((name) => name in one.checks) && one.overall !== null && one.omissions !== null;
  };
  const all = study.cases.flatMap((one) => one.rationales.map((rationale) => rationale.item));

  // Saving.
  const status = make("span", { class: "saved", role: "status", id: "saved" });
  const say = (words, failed = false) => {
    status.textContent = words;
    status.classList.toggle("failed", failed);
  };
  const whole = () => ({ format: 1, study: study.id, rater: study.rater, answers });

  const send = async () => {
    if (sending) return;
    sending = true;
    while (waiting.size) {
      const [item] = waiting;
      waiting.delete(item);
      try {
        const reply = await fetch("answers", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ item, answer: answers[item] }),
        });
        if (!reply.ok) throw new Error((await reply.text()).trim() || String(reply.status));
        say("Saved");
      } catch (error) {
        waiting.add(item);
        say(`Not saved (${error.message}); it is tried again every few seconds`, true);
        setTimeout(send, 4000);
        break;
      }
    }
    sending = false;
  };

  const save = (item) => {
    showProgress();
    if (served) {
      waiting.add(item);
      say("Saving…");
      send();
      return;
    }
    try {
      localStorage.setItem(key, JSON.stringify(whole()));
      say("Kept in this browser until you download");
    } catch {
      say("This browser keeps nothing: download before you close it", true);
    }
  };
  // While somebody types, not every letter is saved.
  const soon = (item) => {
    clearTimeout(timers.get(item));
    waiting.add(item);
    timers.set(item, setTimeout(() => { waiting.delete(item); timers.delete(item); save(item); }, 500));
  };

  window.addEventListener("beforeunload", (event) => {
    if (waiting.size || sending) event.preventDefault();
  });

  const download = () => {
    const made = new Blob([JSON.stringify(whole(), null, 1)], { type: "application/json" });
    const link = make("a", { href: URL.createObjectURL(made), download: `answers-${study.rater}.json` });
    document.body.append(link);
    link.click();
    link.remove();
    URL.revokeObjectURL(link.href);
  };

  // The record.
  const round = (value) => Number(value.toPrecision(4)).toString();

  const chart = (one) => {
    const [wide, high] = [300, 60];
    const edges = [...one.values, one.low, one.high].filter((value) => value !== null);
    const [least, most] = [Math.min(...edges), Math.max(...edges)];
    const [first, last] = [one.hours[0], one.hours[one.hours.length - 1]];
    const x = (hour) => (last > first ? 4 + ((hour - first) / (last - first)) * (wide - 8) : wide / 2);
    const y = (value) => (most > least ? high - 4 - ((value - least) / (most - least)) * (high - 8) : high / 2);
    const name = `${one.name}, hour ${round(first)} to ${round(last)}`;
    const drawn = make("svg", {
      viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", role: "img", "aria-label": name,
    });
    if (one.low !== null) {
      drawn.append(make("rect", {
        class: "band", x: 0, y: y(one.high), width: wide, height: Math.max(0, y(one.low) - y(one.high)),
      }));
    }
    const points = one.hours.map((hour, place) => [x(hour), y(one.values[place])]);
    drawn.append(make("polyline", { class: "line", points: points.map((point) => point.join(",")).join(" ") }));
    if (points.length <= 60) {
      for (const [a, b] of points) drawn.append(make("line", { class: "dot", x1: a, y1: b, x2: a, y2: b }));
    }
    return drawn;
  };

  const variable = (one) => {
    const unit = one.unit ? ` ${one.unit}` : "";
    const [least, most] = [Math.min(...one.values), Math.max(...one.values)];
    const normal = one.low === null ? "" : `; normal ${round(one.low)} to ${round(one.high)}`;
    const listed = one.hours.map((hour, place) => `hour ${round(hour)}: ${round(one.values[place])}`).join("; ");
    const last = round(one.values[one.values.length - 1]);
    return make(
      "figure", {},
      make("figcaption", {}, make("strong", {}, one.name + (one.unit ? ` (${one.unit})` : "")),
        `${one.values.length} readings, ${round(least)} to ${round(most)}${unit}, last ${last}${normal}`),
      chart(one),
      make("details", {}, make("summary", {}, "All readings"), listed),
    );
  };

  const record = (one) => make(
    "section", { class: "record", "aria-label": "Record" },
    make("h2", {}, "Note"),
    make("pre", { class: "note", tabindex: "0" }, one.note || "(There is no note.)"),
    make("h2", {}, "Measurements"),
    one.series.length
      ? make("div", { class: "variables" }, ...one.series.map(variable))
      : make("p", {}, "(Nothing was measured.)"),
  );

  // The questions.
  const radios = (item, name, choices, chosen, set) => make(
    "span", { class: "choices", role: "radiogroup" },
    ...choices.map(([value, words]) => make(
      "label", {},
      make("input", {
        type: "radio", name: `${item} ${name}`, value: String(value), checked: chosen === value,
        onchange: () => { set(value); save(item); },
      }),
      words,
    )),
  );

  const sentence = (item, one, place) => {
    const wrong = of(item).wrong_sentences.includes(place);
    const entry = make("li", { class: wrong ? "sentence wrong" : "sentence" });
    const box = make("input", {
      type: "checkbox", checked: wrong, name: `${item} wrong ${place}`,
      onchange: () => {
        const kept = of(item).wrong_sentences.filter((other) => other !== place);
        of(item).wrong_sentences = box.checked ? [...kept, place].sort((a, b) => a - b) : kept;
        entry.classList.toggle("wrong", box.checked);
        save(item);
      },
    });
    entry.append(make("span", { class: "words" }, one.text), make("label", {}, box, "wrong"));
    if (one.flag && one.flag.verdict !== "none") {
      const reasons = one.flag.reasons.length ? `: ${one.flag.reasons.join("; ")}` : "";
      entry.append(make("span", { class: `flag ${one.flag.verdict}` }, `Checker: ${one.flag.verdict}${reasons}`));
    }
    return entry;
  };

  const checklist = (item, criterion) => make(
    "fieldset", {},
    make("legend", {}, criterion.name, make("span", {}, ` – ${criterion.about}`)),
    ...criterion.items.map((one) => {
      const name = `${criterion.key}.${one.key}`;
      return make(
        "div", { class: "statement" }, make("span", {}, one.text),
        radios(item, name, [[true, "yes"], [false, "no"]], of(item).checks[name],
          (value) => { of(item).checks[name] = value; }),
      );
    }),
  );

  const omissions = (item) => {
    const asked = study.criteria.omissions;
    const box = make("input", {
      type: "number", id: `${item} omissions`, min: 0, max: asked.most, step: 1, value: of(item).omissions,
      oninput: () => {
        const right = box.value !== "" && box.checkValidity();
        of(item).omissions = right ? Number(box.value) : null;
        soon(item);
      },
    });
    return make("div", { class: "question" }, make("label", { class: "above", for: box.id }, asked.text), box);
  };

  const leftOut = (item, listed) => {
    const count = make("span", {});
    const show = () => { count.textContent = ` (${of(item).omitted_diseases.length} marked)`; };
    const boxes = study.diseases.filter((one) => !listed.includes(one.name)).map((one) => {
      const box = make("input", {
        type: "checkbox", name: `${item} omitted`, value: one.key, checked: of(item).omitted_diseases.includes(one.key),
        onchange: () => {
          const kept = of(item).omitted_diseases.filter((other) => other !== one.key);
          of(item).omitted_diseases = box.checked ? [...kept, one.key] : kept;
          show();
          save(item);
        },
      });
      return make("label", {}, box, one.name);
    });
    show();
    return make(
      "details", { class: "question" },
      make("summary", {}, make("strong", {}, study.criteria.omitted_diseases.text), count),
      make("div", { class: "diseases" }, ...boxes),
    );
  };

  const remark = (item) => {
    const asked = study.criteria.comment;
    const box = make("textarea", {
      id: `${item} comment`, maxlength: asked.most,
      oninput: () => { of(item).comment = box.value; soon(item); },
    }, of(item).comment);
    return make("div", { class: "question" }, make("label", { class: "above", for: box.id }, asked.text), box);
  };

  const rationale = (one, place, flags) => {
    const { item } = one;
    const overall = study.criteria.overall;
    return make(
      "article", { class: isDone(item) ? "rationale done" : "rationale", id: `rationale-${item}` },
      make("h2", {}, `Rationale ${String.fromCharCode(65 + place)}`),
      make("p", {}, make("strong", {}, "Listed diseases: "), one.listed.join("; ") || "none"),
      ...(flags ? [make("p", { class: "hint" }, "A program has checked each sentence against the record. It can be "
        + "wrong, and it does not see what is missing.")] : []),
      make("p", { class: "hint" }, study.criteria.sentences.text),
      one.sentences.length
        ? make("ol", {}, ...one.sentences.map((words, number) => sentence(item, words, number)))
        : make("p", {}, "(It has no sentence.)"),
      ...study.criteria.criteria.map((criterion) => checklist(item, criterion)),
      make("fieldset", {}, make("legend", {}, overall.text),
        radios(item, "overall", overall.choices.map((choice) => [choice.key, choice.text]), of(item).overall,
          (value) => { of(item).overall = value; })),
      omissions(item), leftOut(item, one.listed), remark(item),
    );
  };

  // The page.
  const progress = make("span", { class: "progress", id: "progress" });
  const back = make("button", { type: "button", id: "back", onclick: () => go(current - 1) }, "Back");
  const next = make("button", { type: "button", id: "next", class: "next", onclick: () => go(current + 1) }, "Next case");
  const main = make("main", {});

  const showProgress = () => {
    const done = all.filter(isDone).length;
    progress.textContent = `Case ${current + 1} of ${study.cases.length} · ${done} of ${all.length} rationales done`;
    for (const one of study.cases[current].rationales) {
      document.getElementById(`rationale-${one.item}`)?.classList.toggle("done", isDone(one.item));
    }
  };

  const go = (place) => {
    current = Math.min(Math.max(place, 0), study.cases.length - 1);
    const one = study.cases[current];
    main.replaceChildren(record(one), make(
      "section", { "aria-label": "Rationales" },
      ...one.rationales.map((each, number) => rationale(each, number, one.flags)),
    ));
    back.disabled = current === 0;
    next.disabled = current === study.cases.length - 1;
    showProgress();
    window.scrollTo(0, 0);
  };

  const start = async () => {
    if (served) {
      const here = new URL(location);
      if (here.searchParams.has("token")) {
        here.searchParams.delete("token");
        history.replaceState(null, "", here);
      }
      const reply = await fetch("answers");
      if (!reply.ok) throw new Error((await reply.text()).trim());
      Object.assign(answers, (await reply.json()).answers);
    } else {
      Object.assign(answers, JSON.parse(localStorage.getItem(key) ?? "{}").answers);
    }
    document.getElementById("page").append(
      make("header", {}, make("h1", {}, `Study ${study.id}, ${study.rater}`), progress,
        make("span", { class: "ways" }, back, next,
          make("button", { type: "button", id: "download", onclick: download }, "Download answers")),
        status),
      ...study.notices.map((words) => make("p", { class: "notice" }, words)),
      main,
    );
    const open = study.cases.findIndex((one) => !one.rationales.every((each) => isDone(each.item)));
    go(open < 0 ? study.cases.length - 1 : open);
  };

  start().catch((error) => {
    document.getElementById("page").textContent = `The answers cannot be read: ${error.message}`;
  });
})();
