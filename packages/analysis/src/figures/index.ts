import { type ArmsSpec, armsFigure } from './arms.js';
import { type EffectSpec, effectFigure } from './effect.js';
import type { Figure } from './figure.js';
import { type LossesSpec, lossesFigure } from './losses.js';
import { type RoutingMapSpec, routingMapFigure } from './routing-map.js';

export type FigureSpec = EffectSpec | ArmsSpec | LossesSpec | RoutingMapSpec;

/** Draws any figure from its spec; `JSON.parse(figure.spec)` gives the same bytes again. */
export function drawFigure(spec: FigureSpec): Figure {
  switch (spec.kind) {
    case 'effect':
      return effectFigure(spec);
    case 'arms':
      return armsFigure(spec);
    case 'losses':
      return lossesFigure(spec);
    case 'routingMap':
      return routingMapFigure(spec);
  }
}
