#include "reports/html_fill.h"

namespace vitrine::report_html {

void put_cookies(Dictionary& page, const ReportView& view) {
  if (Dictionary* list = wrapper(page, "IF_COOKIE_FINDINGS", nullptr, view.cookie_findings)) {
    each(*list, "COOKIE_FINDING", view.cookie_findings,
         [](Dictionary& row, const FindingView& finding) { put(row, "TEXT", finding.explanation); });
  }
  if (Dictionary* table = wrapper(page, "COOKIES", "NO_COOKIES", view.cookies)) {
    each(*table, "COOKIE", view.cookies, [](Dictionary& row, const CookieView& cookie) {
      put(row, "NAME", cookie.name);
      put(row, "DOMAIN", cookie.domain);
      put(row, "RECIPIENT", cookie.recipient);
      put(row, "LIFETIME", cookie.lifetime);
      put(row, "DIRECTION", cookie.direction);
      put(row, "TABLE", cookie.table);
      put(row, "FIRST", cookie.first);
      put_if(row, "ATTRIBUTES", cookie.attributes);
      put_if(row, "QUOTE", cookie.quote);
      put_texts(row, "ISSUE", cookie.issues);
      show_if(row, "AS_DECLARED", cookie.as_declared);
      show_if(row, "FOREIGN", !cookie.attributed);
      put_evidence(row, cookie.evidence);
    });
  }
  put_if(page, "MORE_COOKIES", view.more_cookies);
}

void put_rules(Dictionary& page, const ReportView& view) {
  show_if(page, "NO_RULES", view.rules.empty());
  each(page, "RULE_FILE", view.rules, [](Dictionary& section, const RuleFileView& file) {
    put(section, "TITLE", file.title);
    put(section, "SUMMARY", file.summary);
    put_if(section, "DISCLAIMER", file.disclaimer);
    each(section, "RULE", file.rules, [](Dictionary& row, const RuleView& rule) {
      put(row, "ID", rule.id);
      put(row, "REFERENCE", rule.reference);
      put(row, "SENTENCE", rule.sentence);
      put(row, "KEY", rule.key);
      put(row, "SYMBOL", rule.symbol);
      put(row, "STATUS", rule.status);
      put(row, "INFERENCE", rule.inference);
      put_if(row, "WHY", rule.why);
      put_if(row, "MORE", rule.more);
      if (Dictionary* hits = wrapper(row, "HITS", "NO_HITS", rule.hits)) {
        each(*hits, "HIT", rule.hits, [](Dictionary& item, const HitView& hit) {
          put(item, "MESSAGE", hit.message);
          put_if(item, "NOTE", hit.note);
          put_if(item, "FINDING", hit.finding_anchor);
          put_evidence(item, hit.evidence);
        });
      }
      if (Dictionary* questions = wrapper(row, "QUESTIONS", nullptr, rule.questions)) {
        put(*questions, "COUNT", static_cast<int>(rule.questions.size()));
        put_texts(*questions, "QUESTION", rule.questions);
      }
    });
  });
}

void put_unattributed(Dictionary& page, const ReportView& view) {
  if (Dictionary* table = wrapper(page, "UNATTRIBUTED", "NO_UNATTRIBUTED", view.unattributed)) {
    each(*table, "FLOW", view.unattributed, [](Dictionary& row, const FlowView& flow) {
      put(row, "TYPE", flow.type);
      put(row, "RECIPIENT", flow.recipient);
      put(row, "HOSTS", flow.hosts);
      put(row, "VOLUME", flow.volume);
      put(row, "SAMPLE", flow.sample);
      put_evidence(row, flow.evidence);
    });
  }
  put_if(page, "MORE_UNATTRIBUTED", view.more_unattributed);
}

void put_method(Dictionary& page, const ReportView& view) {
  put_facts(page, "CONTEXT", view.context);
  if (Dictionary* list = wrapper(page, "ASSUMED", nullptr, view.assumed)) put_texts(*list, "ITEM", view.assumed);
  put_if(page, "TEXT_STATUS", view.text_status);
  if (Dictionary* table = wrapper(page, "POLICIES", nullptr, view.policies)) {
    each(*table, "POLICY", view.policies, [](Dictionary& row, const PolicyView& policy) {
      put(row, "TITLE", policy.title);
      put(row, "KIND", policy.kind);
      put(row, "FILE", policy.file);
      put(row, "VERSION", policy.version);
      put(row, "STATUS", policy.status);
      put(row, "STATUS_SENTENCE", policy.status_sentence);
      put(row, "COMPLETE", policy.complete);
      put(row, "SOURCE", policy.source);
      put_if(row, "URL", policy.url);
      put_if(row, "SHA256", policy.sha256);
      put_texts(row, "MISSING", policy.missing);
    });
  }
  if (Dictionary* table = wrapper(page, "FILES", nullptr, view.inputs)) {
    each(*table, "ROW", view.inputs, [](Dictionary& row, const InputView& input) {
      put(row, "NAME", input.name);
      put(row, "FORMAT", input.format);
      put(row, "SIZE", input.size);
      put(row, "PACKETS", input.packets);
      put(row, "SHA256", input.sha256);
      show_if(row, "SIMULATED", input.simulated);
    });
  }
  put_facts(page, "METHOD", view.method);
}

void put_annex(Dictionary& page, const ReportView& view) {
  show_if(page, "NO_ANNEX", view.evidence.empty());
  each(page, "ITEM", view.evidence, [](Dictionary& row, const EvidenceView& evidence) {
    put(row, "ANCHOR", evidence.anchor);
    put(row, "DATA", evidence.data);
    put(row, "PACKET", evidence.packet);
    put(row, "TIME", evidence.time);
    put(row, "ORIGIN", evidence.origin);
    put(row, "HOST", evidence.host);
    put(row, "REQUEST", evidence.request);
    put(row, "PATH", evidence.path);
    put_if(row, "CHAIN", evidence.chain);
    put_if(row, "SAMPLE", evidence.sample);
    put(row, "COMMAND", evidence.command);
  });
  put_if(page, "MORE_EVIDENCE", view.more_evidence);
  put_facts(page, "TERM", view.glossary);
}

}  // namespace vitrine::report_html
