#include "reports/terminal.h"

#include <algorithm>

#include "reports/plain_text.h"
#include "reports/terminal_page.h"
#include "reports/view.h"

namespace vitrine {
namespace {

using Style = TerminalPage::Style;

Style style_of(std::string_view verdict) {
  if (verdict == "contradicted" || verdict == "ambiguous" || verdict == "omitted") return Style::alarm;
  if (verdict == "clear") return Style::calm;
  return Style::notice;
}

std::string right_aligned(const std::string& text, size_t width) {
  return std::string(text.size() < width ? width - text.size() : 0, ' ') + text;
}

class Summary {
 public:
  Summary(const ReportView& view, const Locale& locale, TerminalPage& page)
      : view_(view), locale_(locale), page_(page) {}

  void write() {
    if (view_.simulated) page_.banner(view_.simulated_mark + " – " + view_.simulated_text);
    head();
    verdicts();
    worst();
    worst_cookies();
    declared();
    coverage();
    rules();
    list("section.limits", view_.limits, 4);
    next();
  }

 private:
  std::string t(std::string_view id) const { return locale_.text(id); }

  void head() {
    page_.wrapped("", view_.title, Style::strong);
    if (!view_.subtitle.empty()) page_.wrapped("  ", view_.subtitle);
    for (size_t i = 0; i < view_.inputs.size() && i < 3; ++i) {
      const InputView& input = view_.inputs[i];
      page_.wrapped("  " + t("terminal.read") + " ", input.name + " (" + input.format + ", " + input.size + ", " +
                                                         locale_.fill("terminal.packets", {{"count", input.packets}}) +
                                                         ")" + (input.time.empty() ? "" : " " + input.time));
    }
    page_.more(view_.inputs.size(), 3);
    for (size_t i = 0; i < view_.policies.size() && i < 4; ++i) {
      const PolicyView& policy = view_.policies[i];
      page_.wrapped("  " + t("terminal.compared") + " ",
                    policy.title + ", " + policy.version + " (" + policy.status + ")");
    }
    if (view_.policies.empty() && !view_.text_status.empty()) page_.wrapped("  ", view_.text_status);
    page_.more(view_.policies.size(), 4);
  }

  void verdicts() {
    page_.heading(t("section.verdicts"));
    for (const Tile& tile : view_.tiles) {
      if (tile.none) continue;
      page_.columns({{tile.symbol, 2}, {tile.label, 44}, {right_aligned(tile.count, 6), 0}}, style_of(tile.key));
    }
    if (std::all_of(view_.tiles.begin(), view_.tiles.end(), [](const Tile& tile) { return tile.none; })) {
      page_.wrapped("  ", view_.summary.front());
    }
    if (!view_.leads.empty()) page_.wrapped("  ", view_.leads, Style::faint);
  }

  void worst() {
    if (view_.worst.empty()) return;
    page_.heading(t("section.worst"));
    size_t number = 0;
    for (size_t index : view_.worst) {
      const FindingView& finding = view_.findings[index];
      page_.wrapped("  " + std::to_string(++number) + ". ",
                    finding.type + " → " + finding.recipient + " (" + finding.countries + "): " + finding.printed,
                    style_of(finding.key));
      std::string proof = finding.observation + ", " + finding.inference;
      if (!finding.evidence.empty()) {
        proof +=
            "; " + finding.evidence.front().label + ", " + t("terminal.origin") + " " + finding.evidence.front().origin;
      }
      page_.wrapped("     ", proof, Style::faint);
      if (!finding.quotes.empty()) {
        const QuoteView& quote = finding.quotes.front();
        const size_t taken = display_width(quote.document) + 12;
        const size_t room = page_.width() > taken + 30 ? page_.width() - taken : page_.width() - 8;
        page_.wrapped("     ", "“" + shorten(quote.quote, room) + "” – " + quote.document);
      }
    }
  }

  void worst_cookies() {  // one line: the page has the others
    if (!view_.worst_cookies.empty()) page_.wrapped("  – ", view_.worst_cookies.front());
  }

  void declared() {
    std::vector<std::string> lines;
    for (const FindingView& finding : view_.declared) {
      if (finding.key == "declared-not-observed") lines.push_back(finding.type + " → " + finding.recipient);
    }
    list("section.declared-not-observed", lines, 4);
  }

  void coverage() {
    page_.heading(t("section.coverage"));
    page_.wrapped("  ", view_.coverage.summary);
    for (const Fact& total : view_.coverage.totals) page_.wrapped("  ", total.name + ": " + total.value);
  }

  void rules() {
    if (view_.rules.empty()) return;
    std::vector<std::string> lines;
    for (const RuleFileView& file : view_.rules) {
      std::string ids;
      for (const RuleView& rule : file.rules) {
        if (rule.key == "relevant-evidence") ids += (ids.empty() ? "" : ", ") + rule.id + " (" + rule.count + ")";
      }
      if (!ids.empty()) lines.push_back(ids);
    }
    if (lines.empty()) lines.push_back(t("rules.none"));
    list("section.rules-evidence", lines, 6);
  }

  void list(std::string_view heading, const std::vector<std::string>& lines, size_t at_most) {
    if (lines.empty()) return;
    page_.heading(t(heading));
    for (size_t i = 0; i < lines.size() && i < at_most; ++i) page_.wrapped("  – ", lines[i]);
    page_.more(lines.size(), at_most);
  }

  void next() {
    if (view_.next_steps.empty()) return;
    page_.heading(t("section.next"));
    for (const std::string& command : view_.next_steps) page_.line("  " + command);
  }

  const ReportView& view_;
  const Locale& locale_;
  TerminalPage& page_;
};

}  // namespace

std::string render_terminal(const AuditResult& result, std::string_view language, bool colour, int width) {
  const Locale locale = Locale::of(language);
  const ReportView view = make_view(result, locale);
  TerminalPage page(colour, static_cast<size_t>(std::clamp(width, 50, 160)), locale);
  Summary(view, locale, page).write();
  return page.take();
}

}  // namespace vitrine
