const element = id => document.getElementById(id);
const review = JSON.parse(element("data").textContent);
const storageKey = ["avf-review", review.fingerprint, review.inputs_sha256, review.seed, review.n].join("-");
const stored = (key, fallback) => { try { return JSON.parse(localStorage.getItem(key)) || fallback } catch (error) { return fallback } };
let verdicts = {}, current = 0, marked = true;
try { verdicts = checkVerdicts(stored(storageKey, {})) } catch (error) { element("message").textContent = "the answers that this browser keeps are damaged: " + error.message }
element("reviewer").value = stored("avf-reviewer", "");
element("head").textContent = `${review.items.length} spans, seed ${review.seed}, run ${review.fingerprint}. Answers stay in this browser until you save them.`;

function store(key, value) {
  try { localStorage.setItem(key, JSON.stringify(value)) } catch (error) { element("message").textContent = "this browser cannot keep answers: save often" }
}
function checkVerdicts(values) {
  const isObject = value => value !== null && typeof value === "object" && !Array.isArray(value);
  if (!isObject(values)) throw new Error("it holds no answers");
  return Object.fromEntries(Object.entries(values).map(([id, verdict]) => {
    const item = review.items.find(each => each.id === id);
    if (!item || !isObject(verdict) || verdict.span !== item.span) throw new Error(`${id} is no span of this page`);
    if (!["right", "wrong", "unsure"].includes(verdict.answer)) throw new Error(`the answer to ${id} is not right, wrong or unsure`);
    const stage = verdict.stage ?? null;
    if (stage !== null && !review.stages.includes(stage)) throw new Error(`the stage of ${id} is not one of ${review.stages.join(", ")}`);
    return [id, { answer: verdict.answer, span: item.span, ...(stage === null ? {} : { stage }) }];
  }));
}
function make(tag, values = {}, ...children) {
  const node = Object.assign(document.createElement(tag), values);
  node.append(...children);
  return node;
}
function rectangle(region, kind) {
  return ["under", kind].map(name => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    ["x", "y", "width", "height"].forEach((attribute, index) => node.setAttribute(attribute, region[index]));
    node.setAttribute("class", name);
    return node;
  });
}
function drawMarks(item, video, picture, position) {
  const nearest = (item.faces || []).reduce((best, each) => !best || Math.abs(each[0] - video.currentTime) < Math.abs(best[0] - video.currentTime) ? each : best, null);
  const nodes = marked ? [...(nearest ? nearest[1].flatMap(region => rectangle(region, "face")) : []), ...(item.logo ? rectangle(item.logo, "logo") : [])] : [];
  picture.replaceChildren(...nodes);
  position.style.left = 100 * video.currentTime / item.length + "%";
}
function showClip(item) {
  const screen = element("screen"), cuts = element("cuts");
  screen.replaceChildren();
  cuts.hidden = !(item.cuts && item.cuts.length);
  if (!item.clip) {
    screen.style.maxWidth = "";
    screen.append(make("div", { className: "unavailable", textContent: "cannot be shown: " + item.reason }));
    element("legend").textContent = "";
    return;
  }
  const video = make("video", { src: item.clip, controls: true, autoplay: true, loop: true, playsInline: true });
  video.setAttribute("aria-label", `${item.video_id}, ${item.where}`);
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg"), position = make("i");
  picture.setAttribute("viewBox", "0 0 1 1");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  cuts.replaceChildren(position, ...(item.cuts || []).map(cut => { const node = make("b", { textContent: "cut" }); node.style.left = 100 * cut / item.length + "%"; return node }));
  screen.append(video, picture);
  const draw = () => drawMarks(item, video, picture, position);
  video.addEventListener("loadedmetadata", () => { screen.style.maxWidth = `calc(62vh * ${video.videoWidth / video.videoHeight})`; draw() });
  video.addEventListener("timeupdate", draw);
  video.addEventListener("marks", draw);
  const started = video.play();
  if (started) started.catch(() => {});
  const searched = item.faces.length, seen = item.faces.filter(each => each[1].length).length;
  element("legend").textContent = `Yellow: faces, found again in ${seen} of ${searched} frames of this picture. ` + logoText(item) + (item.cuts.length ? "The bar shows the cuts; the seconds before and after belong to other shots." : "") + " The run stores scores, not places: boxes can differ from those of the run.";
}
function logoText(item) {
  if (item.logo) return "Pink, dashed: a logo or text that stays. ";
  if (item.logo_known) return "No logo was found in this picture. ";
  return "Too little moves in this picture to tell a logo. " + (item.stratum.endsWith("_pooled") ? "The run compared all spans of the group. " : "");
}
function show() {
  const item = review.items[current];
  element("question").textContent = item.question;
  const facts = [item.meaning, `${item.source}, ${item.video_id}`, item.where + (item.cut ? " (the first 10 s are shown)" : ""), item.score ? "score " + item.score : "", `${current + 1} of ${review.items.length}`];
  element("facts").replaceChildren(...facts.filter(Boolean).map(text => make("div", { textContent: text })));
  showAnswers();
  showClip(item);
}
function showAnswers() {
  const item = review.items[current], verdict = verdicts[item.id] || {};
  document.querySelectorAll("[data-answer]").forEach(button => button.setAttribute("aria-pressed", button.dataset.answer === verdict.answer));
  element("which").hidden = !(item.stratum === "kept" && verdict.answer === "wrong");
  element("which").querySelectorAll("button").forEach(button => button.setAttribute("aria-pressed", (button.dataset.stage || null) === (verdict.stage || null)));
  const count = answer => Object.values(verdicts).filter(each => each.answer === answer).length;
  const colours = { right: "kept", wrong: "failed", unsure: "unmeasured" };
  element("bar").replaceChildren(...Object.entries(colours).map(([answer, colour]) => {
    const part = make("i");
    part.style.width = 100 * count(answer) / review.items.length + "%";
    part.style.background = `var(--${colour})`;
    return part;
  }));
  element("bar").setAttribute("aria-label", `${count("right")} right, ${count("wrong")} wrong, ${count("unsure")} unsure, of ${review.items.length}`);
}
function tellProgress() {
  const open = review.items.length - Object.keys(verdicts).length;
  element("message").textContent = open ? "" : `All ${review.items.length} spans have an answer: save the answers.`;
}
function go(step) { current = Math.min(review.items.length - 1, Math.max(0, current + step)); show() }
function answer(value) {
  const item = review.items[current];
  verdicts[item.id] = { answer: value, span: item.span };
  tellProgress();
  store(storageKey, verdicts);
  if ((item.stratum === "kept" && value === "wrong") || current + 1 === review.items.length) showAnswers(); else go(1);
}
function blame(stage) {
  const verdict = verdicts[review.items[current].id];
  if (!verdict || verdict.answer !== "wrong" || review.items[current].stratum !== "kept") return;
  if (stage) verdict.stage = stage; else delete verdict.stage;
  store(storageKey, verdicts);
  showAnswers();
}
function replay() { const video = document.querySelector("video"); if (video) { video.currentTime = 0; video.play() } }
function toggleMarks() {
  marked = !marked;
  element("marks").setAttribute("aria-pressed", marked);
  const video = document.querySelector("video");
  if (video) video.dispatchEvent(new Event("marks"));
}
function save() {
  const answered = Object.keys(verdicts).length;
  if (!answered) { element("message").textContent = "There is no answer to save yet."; return }
  const reviewer = element("reviewer").value.trim();
  const file = { fingerprint: review.fingerprint, inputs_sha256: review.inputs_sha256, n: review.n, seed: review.seed, reviewer, verdicts };
  const name = reviewer ? `verdicts-${reviewer.replace(/[^\p{L}\p{N}._-]+/gu, "-")}.json` : "verdicts.json";
  const link = make("a", { href: URL.createObjectURL(new Blob([JSON.stringify(file, null, 1)], { type: "application/json" })), download: name });
  link.click();
  element("message").textContent = `${nameCount(answered)} of ${review.items.length} saved; read them with avf-curate audit RUN --verdicts ${name}` + (reviewer ? "" : ". Give your name if others review too.");
}
function nameCount(answers) { return answers === 1 ? "1 answer" : `${answers} answers` }
element("file").addEventListener("change", async event => {
  const message = element("message"), [chosen] = event.target.files;
  if (!chosen) return;
  try {
    const file = JSON.parse(await chosen.text());
    if (["fingerprint", "inputs_sha256", "seed", "n"].some(name => file?.[name] !== review[name])) throw new Error("the file belongs to another review");
    const read = checkVerdicts(file.verdicts), present = Object.keys(verdicts).length, added = Object.keys(read).length;
    if (present && !confirm(`This page has ${nameCount(present)}. Replace them with the ${nameCount(added)} of ${chosen.name}?`)) {
      message.textContent = "nothing was read; the answers of this page are as they were";
      return;
    }
    verdicts = read;
    store(storageKey, verdicts);
    if (typeof file.reviewer === "string" && file.reviewer) { element("reviewer").value = file.reviewer; store("avf-reviewer", file.reviewer) }
    show();
    message.textContent = `${nameCount(added)} read`;
  } catch (error) { message.textContent = "not read: " + error.message } finally { event.target.value = "" }
});
element("reviewer").addEventListener("input", event => store("avf-reviewer", event.target.value));
const actions = { load: () => element("file").click(), save, previous: () => go(-1), next: () => go(1), replay, marks: toggleMarks };
for (const [id, action] of Object.entries(actions)) element(id).addEventListener("click", action);
document.querySelectorAll("[data-answer]").forEach(button => button.addEventListener("click", () => answer(button.dataset.answer)));
[...review.stages, ""].forEach((stage, index) => {
  const button = make("button", { type: "button", textContent: `${stage ? index + 1 : 0} ${stage || "none of these"}` });
  button.dataset.stage = stage;
  button.addEventListener("click", () => blame(stage));
  element("which").append(button);
});
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input")) return;
  const key = event.key.toLowerCase(), answers = { j: "right", k: "wrong", l: "unsure" };
  if (answers[key]) answer(answers[key]);
  else if (event.key === "ArrowRight" || key === "n") go(1);
  else if (event.key === "ArrowLeft") go(-1);
  else if (key === "s") save();
  else if (key === "b") toggleMarks();
  else if (key === " " && !event.target.closest?.("button")) { event.preventDefault(); replay() }
  else if (/^[0-9]$/.test(key)) blame(review.stages[key - 1] || "");
});
const open = review.items.findIndex(item => !verdicts[item.id]);
current = open < 0 ? 0 : open;
show();
