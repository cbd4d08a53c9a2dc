#include "reports/html_fill.h"

namespace vitrine::report_html {
namespace {

void put_finding(Dictionary& row, const FindingView& finding) {
  put(row, "ANCHOR", finding.anchor);
  put(row, "NUMBER", finding.number);
  put(row, "TYPE", finding.type);
  put(row, "TYPE_ID", finding.type_id);
  put(row, "RECIPIENT", finding.recipient);
  put(row, "RECIPIENT_NOTE", finding.recipient_note);
  put(row, "KEY", finding.key);
  put(row, "SYMBOL", finding.symbol);
  put(row, "PRINTED", finding.printed);
  put(row, "OBSERVATION", finding.observation);
  put(row, "INFERENCE", finding.inference);
  put(row, "COVERAGE", finding.coverage);
  put_if(row, "GROUP", finding.group);
  put_if(row, "COUNTRIES", finding.countries);
  put_if(row, "HOSTS", finding.hosts);
  put_if(row, "PROOF", finding.proof);
  put_if(row, "LEAD", finding.lead);
  put_if(row, "ATTRIBUTION", finding.attribution);
  put_if(row, "TRANSPORT", finding.transport);
  put_if(row, "VOLUME", finding.volume);
  put_if(row, "SAMPLE", finding.sample);
  put_texts(row, "REASON", finding.reasons);
  show_if(row, "NO_QUOTE", finding.quotes.empty());
  each(row, "QUOTE", finding.quotes, [](Dictionary& quote, const QuoteView& each) { put_quote(quote, each); });
  put_evidence(row, finding.evidence);
}

}  // namespace

void put_front(Dictionary& page, const ReportView& view) {
  put(page, "LANGUAGE", view.language);
  put(page, "TITLE", view.title);
  put(page, "SIMULATED_TEXT", view.simulated_text);
  put(page, "SIMULATED_MARK", view.simulated_mark);
  // Used in several places of the page: one section dictionary serves all.
  show_if(page, "IF_SIMULATED", view.simulated);
  put_if(page, "SUBTITLE", view.subtitle);
  each(page, "INPUT", view.inputs, [](Dictionary& row, const InputView& input) {
    put(row, "NAME", input.name);
    put_if(row, "TIME", input.time);
  });
  put_texts(page, "SUMMARY", view.summary);
  each(page, "TILE", view.tiles, [](Dictionary& row, const Tile& tile) {
    put(row, "KEY", tile.key);
    put(row, "SYMBOL", tile.symbol);
    put(row, "LABEL", tile.label);
    put(row, "MEANING", tile.meaning);
    put(row, "COUNT", tile.count);
    show_if(row, "IF_NONE", tile.none);
  });
  show_if(page, "NO_WORST", view.worst.empty());
  each(page, "WORST", view.worst, [&](Dictionary& row, size_t index) {
    const FindingView& finding = view.findings[index];
    put(row, "ANCHOR", finding.anchor);
    put(row, "TYPE", finding.type);
    put(row, "RECIPIENT", finding.recipient);
    put(row, "COUNTRIES", finding.countries);
    put(row, "KEY", finding.key);
    put(row, "SYMBOL", finding.symbol);
    put(row, "PRINTED", finding.printed);
    put(row, "OBSERVATION", finding.observation);
    put_if(row, "VOLUME", finding.volume);
    if (!finding.quotes.empty()) put_quote(*row.AddSectionDictionary("QUOTE"), finding.quotes.front());
  });
  if (Dictionary* list = wrapper(page, "WORST_COOKIES", nullptr, view.worst_cookies)) {
    each(*list, "WORST_COOKIE", view.worst_cookies,
         [](Dictionary& row, const std::string& text) { put(row, "TEXT", text); });
  }
  put_facts(page, "CONFIDENCE", view.confidence);
  put_texts(page, "LIMIT", view.limits);
  put(page, "COVERAGE_SUMMARY", view.coverage.summary);
}

void put_findings(Dictionary& page, const ReportView& view) {
  if (Dictionary* table = wrapper(page, "FINDINGS", "NO_FINDINGS", view.findings)) {
    each(*table, "FINDING", view.findings, put_finding);
  }
  put_if(page, "COOKIE_NOTE", view.cookie_note);
  put_if(page, "MORE_FINDINGS", view.more_findings);
  if (Dictionary* table = wrapper(page, "DECLAREDS", "NO_DECLARED", view.declared)) {
    each(*table, "FINDING", view.declared, put_finding);
  }
  if (Dictionary* table = wrapper(page, "OUT_OF_REACH", nullptr, view.out_of_reach)) {
    put(*table, "COUNT", static_cast<int>(view.out_of_reach.size()));
    each(*table, "ROW", view.out_of_reach, [](Dictionary& row, const DeclaredView& item) {
      put(row, "DATA", item.data);
      put(row, "RECIPIENT", item.recipient);
      put(row, "WHY", item.why);
      put_quote(row, item.quote);
    });
  }
}

}  // namespace vitrine::report_html
