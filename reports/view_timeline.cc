#include <algorithm>
#include <array>
#include <map>

#include "reports/plain_text.h"
#include "reports/view_builder.h"

namespace vitrine {
namespace {

constexpr int kNameWidth = 240, kPlotWidth = 740, kLane = 44, kBarHeight = 34, kHead = 64, kFoot = 26;

}  // namespace

void ViewBuilder::add_timeline() {
  TimelinePicture& picture = view_.timeline;
  size_t number = 0;
  for (const StepMarker& step : result_.context.steps) {
    std::string note = printable(step.note);
    if (!step.in_capture) note += (note.empty() ? "" : " – ") + t("step.outside");
    picture.steps.push_back({std::to_string(++number), locale_.word("step", step.step), time_text(step.time), note});
  }
  for (const TimelineEvent& event : result_.events) {
    if (event.kind != "first-flow" || picture.first_flows.size() >= kMaxFindingRows) continue;
    picture.first_flows.push_back(
        {"", type_label(event.label), time_text(event.time), recipient_name(event.recipient)});
  }
  if (result_.timeline.empty()) return;

  const int64_t bin_ns = std::max<int64_t>(result_.timeline_bin_seconds, 1) * 1'000'000'000;
  int64_t begin = result_.timeline.front().start.ns, end = result_.timeline.back().start.ns + bin_ns;
  for (const TimelineBin& bin : result_.timeline) {
    begin = std::min(begin, bin.start.ns);
    end = std::max(end, bin.start.ns + bin_ns);
  }
  const auto x_of = [&](int64_t ns) {
    const auto offset = static_cast<__int128>(ns - begin) * kPlotWidth / (end - begin);
    return kNameWidth + static_cast<int>(offset);
  };

  struct Lane {
    uint64_t values = 0, requests = 0;
    std::map<int64_t, std::pair<uint64_t, uint64_t>> bins;  // values, requests
  };
  std::map<std::pair<bool, std::string_view>, Lane> lanes;  // unattributed?, recipient
  for (const TimelineBin& bin : result_.timeline) {
    Lane& lane = lanes[{!bin.attributed, bin.recipient}];
    lane.values += bin.values;
    lane.requests += bin.requests;
    auto& [values, requests] = lane.bins[bin.start.ns];
    values += bin.values;
    requests += bin.requests;
  }
  std::vector<std::pair<std::pair<bool, std::string_view>, const Lane*>> order;
  for (const auto& [key, lane] : lanes) order.emplace_back(key, &lane);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return a.first.first != b.first.first ? b.first.first : a.second->values > b.second->values;
  });
  if (order.size() > kMaxLanes) order.resize(kMaxLanes);

  uint64_t most = 1;
  for (const auto& [key, lane] : order) {
    for (const auto& [start, counts] : lane->bins) most = std::max({most, counts.first, counts.second});
  }
  for (const auto& [key, lane] : order) {
    TimelineLane row;
    row.attributed = !key.first;
    const std::string name = recipient_name(key.second);
    row.name = cut_to_width(name, 32);
    row.total =
        (row.attributed ? "" : t("cookie.unattributed") + " – ") +
        fill("timeline.total", {{"values", group_digits(lane->values)}, {"requests", group_digits(lane->requests)}});
    row.y = kHead + static_cast<int>(picture.lanes.size()) * kLane + kBarHeight;
    for (const auto& [start, counts] : lane->bins) {
      const uint64_t tall = std::max(counts.first, counts.second);
      if (tall == 0) continue;
      // Square root: a single value stays visible beside a burst of hundreds.
      int height = 3;
      while (height < kBarHeight && static_cast<unsigned __int128>(height) * height * most <
                                        static_cast<unsigned __int128>(kBarHeight) * kBarHeight * tall) {
        ++height;
      }
      TimelineBar bar;
      bar.x = x_of(start);
      bar.width = std::max(x_of(start + bin_ns) - bar.x - 1, 2);
      bar.height = height;
      bar.y = row.y - height;
      bar.title = fill("timeline.bar", {{"recipient", name},
                                        {"time", time_of_day_text(Timestamp{start})},
                                        {"values", group_digits(counts.first)},
                                        {"requests", group_digits(counts.second)}});
      row.bars.push_back(std::move(bar));
    }
    picture.lanes.push_back(std::move(row));
  }
  for (int i = 0; i <= 4; ++i) {
    const int64_t at = begin + (end - begin) / 4 * i;
    picture.ticks.push_back({time_of_day_text(Timestamp{at}), x_of(at)});
  }
  std::array<int, 3> last_x = {-100, -100, -100};
  for (size_t i = 0; i < result_.context.steps.size(); ++i) {
    const StepMarker& step = result_.context.steps[i];
    if (step.time.ns < begin || step.time.ns > end) continue;
    // Three rows of numbers, so that steps close to each other stay legible.
    const int x = x_of(step.time.ns);
    size_t row = 0;
    while (row + 1 < last_x.size() && x - last_x[row] < 20) ++row;
    last_x[row] = x;
    picture.marks.push_back({picture.steps[i].number, picture.steps[i].step + ", " + picture.steps[i].time, x,
                             10 + static_cast<int>(row) * 18});
  }
  picture.note = fill("timeline.note", {{"seconds", group_digits(static_cast<uint64_t>(bin_ns / 1'000'000'000))}});
  picture.width = kNameWidth + kPlotWidth + 30;
  picture.bottom = kHead + static_cast<int>(picture.lanes.size()) * kLane;
  picture.base = picture.bottom + kFoot - 8;
  picture.height = picture.bottom + kFoot;
}

}  // namespace vitrine
