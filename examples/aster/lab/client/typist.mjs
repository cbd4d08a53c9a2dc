// Types like a person: seeded dwell and flight times, so two recordings have the same rhythm.
import { setTimeout as sleep } from 'node:timers/promises';

export function seededRandom(seed) {          // mulberry32
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export async function type(page, text, random) {
  for (const letter of text) {
    await page.keyboard.down(letter);
    await sleep(55 + 60 * random());                                // dwell
    await page.keyboard.up(letter);
    await sleep((letter === ' ' ? 90 : 60) + 110 * random() ** 2);  // flight, longer between words
  }
}
