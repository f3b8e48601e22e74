// The card of a model: Markdown of headings, paragraphs, lists and `code`, as cards are written.

import { make } from "./rows.js";

export function card(text) {
  const found = [];
  for (const block of text.split(/\n{2,}/).filter((one) => one.trim())) {
    const heading = block.match(/^(#+) (.*)/);
    if (heading) {
      const title = make(heading[1].length === 1 ? "h3" : "h4", "", heading[2]);
      found.push(title);
    } else if (/^[*-] /.test(block)) {
      found.push(make("ul", "", ...block.split("\n").map((line) => make("li", "", ...inline(line.slice(2))))));
    } else {
      found.push(make("p", "", ...inline(block)));
    }
  }
  return found;
}

function inline(text) {
  return text.split("`").map((part, number) => (number % 2 ? make("code", "", part) : part));
}
