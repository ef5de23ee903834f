/** Writes docs/compat.md from core's case table: node --import tsx --conditions=@unimoer/source scripts/compat.ts */
import { writeFileSync } from 'node:fs';
import { compatMarkdown } from '@unimoer/core/testing';

writeFileSync(new URL('../docs/compat.md', import.meta.url), compatMarkdown());
