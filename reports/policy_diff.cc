#include "reports/policy_diff.h"

#include <algorithm>
#include <tuple>

#include "reports/json_parts.h"
#include "reports/locale.h"
#include "reports/plain_text.h"
#include "reports/terminal_page.h"

namespace vitrine {
namespace {

using Style = TerminalPage::Style;

// Types that changed together: same kind, action, recipient and sentences.
struct Group {
  const DataChange* first = nullptr;
  std::vector<std::string> types;
  bool still_broadly = true;
};

std::vector<Group> groups_of(const std::vector<DataChange>& changes, DataChange::Kind kind) {
  std::vector<Group> groups;
  for (const DataChange& change : changes) {
    if (change.kind != kind) continue;
    auto at = std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
      return std::tie(group.first->action, group.first->recipient, group.first->old_quotes, group.first->new_quotes) ==
                 std::tie(change.action, change.recipient, change.old_quotes, change.new_quotes) &&
             group.still_broadly == change.still_broadly;
    });
    if (at == groups.end()) at = groups.insert(at, {&change, {}, change.still_broadly});
    at->types.push_back(change.type);
  }
  return groups;
}

class DiffPage {
 public:
  DiffPage(const PolicyDiff& diff, const Locale& locale, TerminalPage& page)
      : diff_(diff), locale_(locale), page_(page) {}

  void write() {
    page_.line(t("diff.title"), Style::strong);
    page_.wrapped("  " + t("diff.older") + " ", version(diff_.old_file, diff_.old_date));
    page_.wrapped("  " + t("diff.newer") + " ", version(diff_.new_file, diff_.new_date));
    data(DataChange::Kind::removed, "diff.removed", "- ", Style::alarm);
    data(DataChange::Kind::added, "diff.added", "+ ", Style::calm);
    cookies();
    if (diff_.data.empty() && diff_.cookies.empty()) page_.wrapped("  ", t("diff.no-data"));
    statements();
  }

 private:
  std::string t(std::string_view id) const { return locale_.text(id); }

  static std::string version(const std::string& file, const std::string& date) {
    return printable(file) + (date.empty() ? "" : " (" + printable(date) + ")");
  }

  void quotes(std::string_view label, const std::vector<std::string>& list, std::string_view none) {
    if (list.empty()) page_.wrapped("      " + t(label) + " ", t(none), Style::faint);
    for (const std::string& quote : list) page_.wrapped("      " + t(label) + " ", "“" + printable(quote) + "”");
  }

  void data(DataChange::Kind kind, std::string_view heading, std::string_view sign, Style style) {
    const std::vector<Group> groups = groups_of(diff_.data, kind);
    if (groups.empty()) return;
    page_.heading(t(heading));
    for (const Group& group : groups) {
      std::string types;
      for (const std::string& type : group.types) types += (types.empty() ? "" : ", ") + locale_.word("type", type);
      page_.wrapped("  " + std::string(sign), types, style);
      std::string what = locale_.word("says", group.first->action) + "; " + t("label.recipient") + ": " +
                         locale_.word("category", group.first->recipient);
      if (group.still_broadly && kind == DataChange::Kind::removed) what += "; " + t("diff.still-broadly");
      page_.wrapped("      ", what, Style::faint);
      quotes("diff.older-says", group.first->old_quotes, "diff.not-named");
      quotes("diff.newer-says", group.first->new_quotes, "diff.not-named");
    }
  }

  void cookies() {
    if (diff_.cookies.empty()) return;
    page_.heading(t("section.cookies"));
    for (const CookieChange& cookie : diff_.cookies) {
      const std::string name =
          printable(cookie.name) + (cookie.domain.empty() ? "" : " (" + printable(cookie.domain) + ")");
      switch (cookie.kind) {
        case CookieChange::Kind::added:
          page_.wrapped("  + ", name + ", " + printable(cookie.new_lifetime), Style::calm);
          break;
        case CookieChange::Kind::removed:
          page_.wrapped("  - ", name + ", " + printable(cookie.old_lifetime), Style::alarm);
          break;
        case CookieChange::Kind::changed:
          page_.wrapped("  ~ ", name + ": " + printable(cookie.old_lifetime) + " → " + printable(cookie.new_lifetime),
                        Style::notice);
          break;
      }
    }
  }

  void statements() {
    size_t added = 0, removed = 0, reworded = 0;
    for (const StatementChange& change : diff_.statements) {
      ++(change.kind == StatementChange::Kind::added     ? added
         : change.kind == StatementChange::Kind::removed ? removed
                                                         : reworded);
    }
    page_.heading(t("diff.statements"));
    page_.wrapped("  ", locale_.fill("diff.statement-counts", {{"added", group_digits(added)},
                                                               {"removed", group_digits(removed)},
                                                               {"reworded", group_digits(reworded)}}));
    for (const StatementChange& change : diff_.statements) {
      const bool is_new = change.kind == StatementChange::Kind::added,
                 gone = change.kind == StatementChange::Kind::removed;
      const std::string quote = printable(gone ? change.old_quote : change.new_quote);
      page_.wrapped(is_new ? "  + "
                    : gone ? "  - "
                           : "  ~ ",
                    printable(change.id) + ": “" + shorten(quote, page_.width() * 2) + "”", Style::plain);
    }
  }

  const PolicyDiff& diff_;
  const Locale& locale_;
  TerminalPage& page_;
};

}  // namespace

std::string render_policy_diff(const PolicyDiff& diff, std::string_view language, bool colour, int width) {
  const Locale locale = Locale::of(language);
  TerminalPage page(colour, static_cast<size_t>(std::clamp(width, 50, 160)), locale);
  DiffPage(diff, locale, page).write();
  return page.take();
}

std::string render_policy_diff_json(const PolicyDiff& diff) {
  using namespace report_json;
  Json out = {{"policy_diff", 1},
              {"older", {{"file", diff.old_file}, {"date", text_or_null(diff.old_date)}}},
              {"newer", {{"file", diff.new_file}, {"date", text_or_null(diff.new_date)}}},
              {"data", list_of(diff.data,
                               [](const DataChange& change) {
                                 return Json{{"change", change.kind == DataChange::Kind::added ? "added" : "removed"},
                                             {"action", change.action},
                                             {"recipient", change.recipient},
                                             {"type", change.type},
                                             {"older_quotes", change.old_quotes},
                                             {"newer_quotes", change.new_quotes},
                                             {"still_broadly", change.still_broadly}};
                               })},
              {"statements", list_of(diff.statements,
                                     [](const StatementChange& change) {
                                       static constexpr const char* kWords[] = {"added", "removed", "reworded"};
                                       return Json{{"change", kWords[static_cast<size_t>(change.kind)]},
                                                   {"id", change.id},
                                                   {"older_quote", text_or_null(change.old_quote)},
                                                   {"newer_quote", text_or_null(change.new_quote)}};
                                     })},
              {"cookies", list_of(diff.cookies, [](const CookieChange& change) {
                 static constexpr const char* kWords[] = {"added", "removed", "changed"};
                 return Json{{"change", kWords[static_cast<size_t>(change.kind)]},
                             {"name", change.name},
                             {"domain", text_or_null(change.domain)},
                             {"older_lifetime", text_or_null(change.old_lifetime)},
                             {"newer_lifetime", text_or_null(change.new_lifetime)}};
               })}};
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace vitrine
