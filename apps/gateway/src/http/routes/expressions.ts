import * as api from '@weir/api';
import { readExpression } from '../../steps/read-expression.ts';
import { errors, plain, type RouteGroup, typed } from './parts.ts';

export const expressionRoutes: RouteGroup = (app, { store, answer }) => {
  const questions = { expression: readExpression(store) };

  typed(app).route({
    method: 'GET',
    url: '/devices/:id/expression',
    schema: {
      tags: ['devices'],
      summary: 'An expression over the windows of a device, such as a ratio of two metrics',
      description:
        'One value for each window of the range. `+ - * / %`, parentheses, abs, sqrt, floor, ceil, min and max; a metric whose name has other characters than letters, digits and _ stands in quotes.',
      params: api.deviceParams,
      querystring: api.expressionQuery,
      response: { 200: api.expressionValues, ...errors },
    },
    handler: (request, reply) =>
      answer(...plain(request, reply), questions.expression(request.params.id, request.query)),
  });
};
