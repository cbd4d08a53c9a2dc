// Puts a view into the dictionaries of the page (page/*.html). Internal.
#pragma once

#include <cstring>  // ctemplate/str_ref.h needs it and does not include it
#include <string>
#include <string_view>
#include <vector>

#include <ctemplate/template_dictionary.h>

#include "reports/view.h"

namespace vitrine::report_html {

using Dictionary = ctemplate::TemplateDictionary;

inline void put(Dictionary& to, const char* name, const std::string& value) { to.SetValue(name, value); }
inline void put(Dictionary& to, const char* name, int value) { to.SetIntValue(name, value); }

// NAME, and the section IF_NAME when there is a value.
void put_if(Dictionary& to, const std::string& name, const std::string& value);
inline void show_if(Dictionary& to, const char* section, bool show) {
  if (show) to.AddSectionDictionary(section);
}

// One section per item; `fill(dictionary, item)`. Without items NO_… is shown when given.
template <class List, class Fill>
void each(Dictionary& to, const char* section, const List& items, Fill fill) {
  for (const auto& item : items) fill(*to.AddSectionDictionary(section), item);
}

// A wrapper section (table with its head) that exists only with items in it.
template <class List>
Dictionary* wrapper(Dictionary& to, const char* section, const char* none, const List& items) {
  if (!items.empty()) return to.AddSectionDictionary(section);
  if (none != nullptr) to.AddSectionDictionary(none);
  return nullptr;
}

void put_texts(Dictionary& to, const char* section, const std::vector<std::string>& texts);
void put_facts(Dictionary& to, const char* section, const std::vector<Fact>& facts);
void put_evidence(Dictionary& to, const std::vector<EvidenceLink>& links);
void put_quote(Dictionary& to, const QuoteView& quote);

// html_findings.cc
void put_front(Dictionary& page, const ReportView& view);
void put_findings(Dictionary& page, const ReportView& view);
// html_pictures.cc
void put_recipients(Dictionary& page, const ReportView& view);
void put_timeline(Dictionary& page, const ReportView& view);
void put_coverage(Dictionary& page, const ReportView& view);
// html_tables.cc
void put_cookies(Dictionary& page, const ReportView& view);
void put_rules(Dictionary& page, const ReportView& view);
void put_unattributed(Dictionary& page, const ReportView& view);
void put_method(Dictionary& page, const ReportView& view);
void put_annex(Dictionary& page, const ReportView& view);

}  // namespace vitrine::report_html
