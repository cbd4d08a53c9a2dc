#include <algorithm>

#include "reports/plain_text.h"
#include "reports/view_builder.h"

namespace vitrine {
namespace {

constexpr int kBarWidth = 600, kBarPitch = 26;

// Widths that add up to kBarWidth; every cause with bytes stays visible.
std::vector<std::pair<Cause, int>> widths_of(const ByteCounts& bytes) {
  std::vector<std::pair<Cause, int>> widths;
  const uint64_t total = bytes.total();
  int used = 0;
  for (size_t i = 0; i < kCauses; ++i) {
    const auto cause = static_cast<Cause>(i);
    if (bytes[cause] == 0) continue;
    const auto exact = static_cast<int>(static_cast<unsigned __int128>(bytes[cause]) * kBarWidth / total);
    widths.emplace_back(cause, std::max(exact, 4));
    used += widths.back().second;
  }
  if (!widths.empty()) {
    auto widest = std::max_element(widths.begin(), widths.end(),
                                   [](const auto& a, const auto& b) { return a.second < b.second; });
    widest->second += kBarWidth - used;
  }
  return widths;
}

}  // namespace

void ViewBuilder::add_coverage() {
  CoverageSection& section = view_.coverage;

  // What findings stand on: what the client sent to hosts of the subject.
  ByteCounts sent;
  for (const LedgerRow& row : result_.ledger) {
    if (row.attributed && row.direction == Direction::client_to_server) sent += row.bytes;
  }
  if (sent.total() == 0) {
    section.summary = t("coverage.summary-none");
  } else if (sent.undecoded() == 0) {
    section.summary = fill("coverage.summary-all", {{"bytes", bytes_text(sent.total())}});
  } else {
    std::vector<std::string> causes;
    for (size_t i = 0; i < kCauses; ++i) {
      const auto cause = static_cast<Cause>(i);
      if (cause == Cause::decoded || sent[cause] == 0) continue;
      causes.push_back(bytes_text(sent[cause]) + " (" + t("cause." + std::string(to_string(cause))) + ")");
    }
    section.summary = fill("coverage.summary-some", {{"percent", percent_text(sent[Cause::decoded], sent.total())},
                                                     {"causes", joined(causes, causes.size())}});
  }
  std::array<bool, kCauses> present{};
  for (Direction direction : {Direction::client_to_server, Direction::server_to_client}) {
    const ByteCounts& bytes = result_.ledger_totals[static_cast<size_t>(direction)];
    if (bytes.total() != 0) {
      section.totals.push_back({t("direction." + std::string(to_string(direction))),
                                fill("coverage.total", {{"percent", percent_text(bytes[Cause::decoded], bytes.total())},
                                                        {"bytes", bytes_text(bytes.total())}})});
    }
    for (size_t i = 0; i < kCauses; ++i) present[i] = present[i] || bytes.by_cause[i] != 0;
  }
  for (size_t i = 0; i < kCauses; ++i) {
    const std::string cause(to_string(static_cast<Cause>(i)));
    if (present[i]) section.legend.push_back({cause, t("cause." + cause)});
  }

  // The subject's hosts first, then where most is unread.
  std::vector<const LedgerRow*> order;
  for (const LedgerRow& row : result_.ledger) {
    if (row.bytes.total() != 0) order.push_back(&row);
  }
  std::stable_sort(order.begin(), order.end(), [](const LedgerRow* a, const LedgerRow* b) {
    return a->attributed != b->attributed ? a->attributed : false;
  });
  if (order.size() > kMaxHostRows) {
    std::stable_sort(order.begin(), order.end(), [](const LedgerRow* a, const LedgerRow* b) {
      return std::pair(!a->attributed, b->bytes.undecoded()) < std::pair(!b->attributed, a->bytes.undecoded());
    });
    section.more = fill("more.hosts", {{"count", group_digits(order.size() - kMaxHostRows)}});
    order.resize(kMaxHostRows);
  }
  for (const LedgerRow* ledger : order) {
    CoverageRow row;
    row.host = printable(ledger->host);
    row.short_host = cut_to_width(row.host, 28);
    row.direction = t("direction-short." + std::string(to_string(ledger->direction)));
    row.total = bytes_text(ledger->bytes.total());
    row.readable = percent_text(ledger->bytes[Cause::decoded], ledger->bytes.total());
    row.attributed = ledger->attributed;
    row.y = static_cast<int>(section.rows.size()) * kBarPitch;
    int x = 0;
    for (const auto& [cause, width] : widths_of(ledger->bytes)) {
      const std::string word(to_string(cause));
      const std::string label = t("cause." + word);
      const std::string amount = bytes_text(ledger->bytes[cause]);
      row.causes.push_back({label, amount});
      row.segments.push_back({word, row.host + ", " + row.direction + ": " + label + " " + amount, x, width});
      x += width;
    }
    section.rows.push_back(std::move(row));
  }
  section.height = static_cast<int>(section.rows.size()) * kBarPitch;

  uint64_t left_out = 0;
  for (const IssueCount& issue : result_.issues) {
    if (section.issues.size() >= kMaxIssueRows) {
      ++left_out;
      continue;
    }
    std::string where = issue.first.packet == 0
                            ? fill("issue.times", {{"count", group_digits(issue.count)}})
                            : fill("issue.times-at", {{"count", group_digits(issue.count)},
                                                      {"packet", group_digits(issue.first.packet)}});
    section.issues.push_back(
        {t("cause." + std::string(to_string(issue.first.cause))) + ": " + printable(issue.first.what),
         std::move(where)});
  }
  if (left_out != 0) section.more_issues = fill("more.issues", {{"count", group_digits(left_out)}});
}

}  // namespace vitrine
