// The context file of a recording: what the person did and when (the audit's `audit.yaml`).
import fs from 'node:fs';

export class Steps {
  constructor(scenario) {
    this.scenario = scenario;
    this.rows = [];
  }

  mark(step, detail = null) {
    this.rows.push(`  - {step: ${step}, time: "${new Date().toISOString()}"${detail ? `, note: ${JSON.stringify(detail)}` : ''}}`);
  }

  write(file) {
    fs.writeFileSync(file, `# SIMULATED: written by examples/aster/lab while it recorded ${this.scenario}.pcapng
context: 1
simulated: true
subject: {service: aster, client: aster-web, version: "1.4.2"}
user: {country: DE, account: consumer}
operator: "vitrine example lab"
authorisation: "own lab: every host in the recording is simulated by examples/aster/lab"
environment: "network namespaces, headless Chromium and curl; documentation addresses and .test names only"
steps:
${this.rows.join('\n')}
`);
  }
}
