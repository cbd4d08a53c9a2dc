#include "reports/html_fill.h"

namespace vitrine::report_html {
namespace {

void put_steps(Dictionary& to, const char* section, const std::vector<StepView>& steps) {
  Dictionary* table = wrapper(to, section, nullptr, steps);
  if (table == nullptr) return;
  each(*table, "ROW", steps, [](Dictionary& row, const StepView& step) {
    put(row, "NUMBER", step.number);
    put(row, "STEP", step.step);
    put(row, "TIME", step.time);
    put(row, "NOTE", step.note);
  });
}

void put_recipient_table(Dictionary& page, const char* section, const std::vector<RecipientView>& list) {
  Dictionary* table = wrapper(page, section, nullptr, list);
  if (table == nullptr) return;
  put(*table, "COUNT", static_cast<int>(list.size()));
  each(*table, "ROW", list, [](Dictionary& row, const RecipientView& recipient) {
    put(row, "NAME", recipient.name);
    put(row, "ROLE", recipient.role);
    put(row, "HOSTS", recipient.hosts);
    put(row, "TYPES", recipient.types);
    put_if(row, "NOTE", recipient.note);
    put_if(row, "CATEGORIES", recipient.categories);
    each(row, "COUNTRY", recipient.countries, [](Dictionary& cell, const CountryView& country) {
      put(cell, "OF", country.of);
      put(cell, "COUNTRY", country.country);
      put_if(cell, "SOURCE", country.source);
    });
  });
}

}  // namespace

void put_recipients(Dictionary& page, const ReportView& view) {
  const CountryPicture& picture = view.country_picture;
  if (Dictionary* svg = wrapper(page, "COUNTRY_PICTURE", "NO_PICTURE", picture.rows)) {
    put(*svg, "WIDTH", picture.width);
    put(*svg, "HEIGHT", picture.height);
    each(*svg, "COLUMN", picture.columns, [](Dictionary& to, const CountryColumn& column) {
      put(to, "X", column.x);
      put(to, "CODE", column.code);
      put(to, "NAME", column.name);
    });
    each(*svg, "ROW", picture.rows, [](Dictionary& to, const CountryRow& row) {
      put(to, "Y", row.y);
      put(to, "NAME", row.name);
      put(to, "TITLE", row.title);
      each(to, "MARK", row.marks, [](Dictionary& shape, const CountryMark& mark) {
        put(shape, "SHAPE", mark.shape);
        put(shape, "TITLE", mark.title);
        put(shape, "X", mark.x);
        put(shape, "Y", mark.y);
        shape.AddSectionDictionary(mark.shape == "ip" ? "IP" : mark.shape == "entity" ? "ENTITY" : "OWNER");
      });
    });
  }
  put_recipient_table(page, "RECIPIENTS", view.recipients);
  put_recipient_table(page, "OTHER_RECIPIENTS", view.other_recipients);
}

void put_timeline(Dictionary& page, const ReportView& view) {
  const TimelinePicture& picture = view.timeline;
  if (Dictionary* svg = wrapper(page, "TIMELINE", "NO_TIMELINE", picture.lanes)) {
    put(*svg, "NOTE", picture.note);
    put(*svg, "WIDTH", picture.width);
    put(*svg, "HEIGHT", picture.height);
    put(*svg, "BASE", picture.base);
    put(*svg, "BOTTOM", picture.bottom);
    each(*svg, "LANE", picture.lanes, [](Dictionary& to, const TimelineLane& lane) {
      put(to, "Y", lane.y);
      put(to, "NAME", lane.name);
      put(to, "TOTAL", lane.total);
      each(to, "BAR", lane.bars, [&](Dictionary& shape, const TimelineBar& bar) {
        put(shape, "X", bar.x);
        put(shape, "Y", bar.y);
        put(shape, "W", bar.width);
        put(shape, "H", bar.height);
        put(shape, "TITLE", bar.title);
        show_if(shape, "FOREIGN", !lane.attributed);
      });
    });
    each(*svg, "MARK", picture.marks, [](Dictionary& shape, const TimelineMark& mark) {
      put(shape, "X", mark.x);
      put(shape, "Y", mark.y);
      put(shape, "NUMBER", mark.number);
      put(shape, "TITLE", mark.title);
    });
    each(*svg, "TICK", picture.ticks, [](Dictionary& shape, const TimelineTick& tick) {
      put(shape, "X", tick.x);
      put(shape, "LABEL", tick.label);
    });
  }
  put_steps(page, "STEPS", picture.steps);
  put_steps(page, "FIRST_FLOWS", picture.first_flows);
}

void put_coverage(Dictionary& page, const ReportView& view) {
  const CoverageSection& coverage = view.coverage;
  put_facts(page, "COVERAGE_TOTAL", coverage.totals);
  if (Dictionary* rows = wrapper(page, "COVERAGE_ROWS", nullptr, coverage.rows)) {
    put(*rows, "HEIGHT", coverage.height);
    put_facts(*rows, "LEGEND", coverage.legend);
    put_if(*rows, "MORE", coverage.more);
    each(*rows, "ROW", coverage.rows, [](Dictionary& to, const CoverageRow& row) {
      put(to, "Y", row.y);
      put(to, "HOST", row.host);
      put(to, "SHORT_HOST", row.short_host);
      put(to, "DIRECTION", row.direction);
      put(to, "TOTAL", row.total);
      put(to, "READABLE", row.readable);
      put_facts(to, "CAUSE", row.causes);
      each(to, "SEGMENT", row.segments, [](Dictionary& shape, const BarSegment& segment) {
        put(shape, "CAUSE", segment.cause);
        put(shape, "TITLE", segment.title);
        put(shape, "X", segment.x);
        put(shape, "W", segment.width);
      });
    });
  }
  if (Dictionary* issues = wrapper(page, "ISSUES", nullptr, coverage.issues)) {
    put_facts(*issues, "ISSUE", coverage.issues);
    put_if(*issues, "MORE", coverage.more_issues);
  }
}

}  // namespace vitrine::report_html
