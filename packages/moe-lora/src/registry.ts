import { InputError } from '@unimoer/core';
import { hardSwitchRouter } from './hard-switch';
import { pipelineRouter } from './pipeline-router';
import type { Router, RouterBuild, RouterFactory } from './router';

const registry = new Map<string, RouterFactory>([
  ['hardSwitch', hardSwitchRouter],
  ['pipeline', pipelineRouter],
]);

/** Adds a router under a new name; throws InputError when the name is taken. */
export function registerRouter(name: string, factory: RouterFactory): void {
  if (registry.has(name)) {
    throw new InputError({
      where: 'registerRouter',
      got: `the name ${name}, which is taken`,
      expected: 'a new name',
      remedy: `names in use are ${routerNames().join(', ')}`,
    });
  }
  registry.set(name, factory);
}

/** Registered names, sorted. */
export function routerNames(): string[] {
  return [...registry.keys()].sort();
}

/** Builds a registered router; throws InputError for an unknown name. */
export function createRouter(
  name: string,
  build: RouterBuild,
  options: Readonly<Record<string, unknown>> = {},
): Router {
  const factory = registry.get(name);
  if (!factory) {
    throw new InputError({
      where: 'router',
      got: name,
      expected: `one of ${routerNames().join(', ')}`,
      remedy: 'register other designs with registerRouter',
    });
  }
  return factory(build, options);
}
