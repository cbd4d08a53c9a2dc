#include "reports/html.h"

#include <ctemplate/template.h>

#include <algorithm>
#include <memory>

#include "reports/embedded.h"
#include "reports/html_fill.h"
#include "reports/locale.h"

namespace vitrine {
namespace report_html {

void put_if(Dictionary& to, const std::string& name, const std::string& value) {
  if (value.empty()) return;
  to.SetValue(name, value);
  to.AddSectionDictionary("IF_" + name);
}

void put_texts(Dictionary& to, const char* section, const std::vector<std::string>& texts) {
  each(to, section, texts, [](Dictionary& row, const std::string& text) { put(row, "TEXT", text); });
}

void put_facts(Dictionary& to, const char* section, const std::vector<Fact>& facts) {
  each(to, section, facts, [](Dictionary& row, const Fact& fact) {
    put(row, "NAME", fact.name);
    put(row, "VALUE", fact.value);
  });
}

void put_evidence(Dictionary& to, const std::vector<EvidenceLink>& links) {
  each(to, "EVIDENCE", links, [](Dictionary& row, const EvidenceLink& link) {
    Dictionary& shown = *row.AddSectionDictionary(link.anchor.empty() ? "UNLINKED" : "LINKED");
    put(shown, "ANCHOR", link.anchor);
    put(shown, "LABEL", link.label);
  });
}

void put_quote(Dictionary& to, const QuoteView& quote) {
  put(to, "SAYS", quote.says);
  put(to, "QUOTE", quote.quote);
  put(to, "DOCUMENT", quote.document);
  put_if(to, "SECTION", quote.section);
  put_if(to, "NOTE", quote.note);
  show_if(to, "IF_DENIAL", quote.denial);
}

namespace {

// The parts in the order of their names, with the style sheet in its place.
std::string page_text() {
  std::string page, style;
  for (const EmbeddedFile& file : report_files()) {
    if (file.name.ends_with(".html")) page += file.content;
    if (file.name.ends_with(".css")) style = file.content;
  }
  constexpr std::string_view kPlace = "@@STYLE@@";
  if (const size_t at = page.find(kPlace); at != std::string::npos) page.replace(at, kPlace.size(), style);
  return page;
}

}  // namespace
}  // namespace report_html

std::string render_html(const AuditResult& result, std::string_view language) {
  using namespace report_html;
  const Locale locale = Locale::of(language);
  const ReportView view = make_view(result, locale);

  Dictionary page("report");
  for (const auto& [id, text] : locale.texts()) {
    std::string name = "t_" + id;
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '.' || c == '-'; }, '_');
    page.SetValue(name, text);
  }
  put_front(page, view);
  put_findings(page, view);
  put_recipients(page, view);
  put_timeline(page, view);
  put_cookies(page, view);
  put_rules(page, view);
  put_coverage(page, view);
  put_unattributed(page, view);
  put_method(page, view);
  put_annex(page, view);

  const std::unique_ptr<ctemplate::Template> parsed(
      ctemplate::Template::StringToTemplate(page_text(), ctemplate::STRIP_BLANK_LINES));
  std::string out;
  if (parsed != nullptr) parsed->Expand(&out, &page);
  return out;
}

}  // namespace vitrine
