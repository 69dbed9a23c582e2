import { nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { createContext, useContext } from 'react';

/** The translations of the components below. */
export const Trans = createContext<TranslationBundle>(nullTranslator.load('nbmlops'));

export const useTrans = () => useContext(Trans);
